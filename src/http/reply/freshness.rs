//! Age of an answer: `Cache-Control` for caches, `Cache-Status` (RFC 9211) for people.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::http::header::HeaderValue;

use crate::cache::{CATALOGUE, CATCH_UP, Outcome};
use crate::catalogue::CatalogueRead;

/// Seconds for which a cache may answer without revalidation.
const MAX_AGE: u64 = 30;
/// Seconds for which it may answer while this server is unreachable: a day.
const STALE_IF_ERROR: u64 = 86_400;
/// Step of the remaining freshness, in seconds, so that the header changes rarely.
const STEP: u64 = 30;

/// Lifetime of an answer after the catalogue's last validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// The catalogue's freshness: 5 minutes.
    Models,
    /// An hour.
    Providers,
    /// Half a minute, because the answer shows the providers' status.
    ProviderStatus,
}

impl Lifetime {
    /// Returns `Cache-Control`. Answers from a stale catalogue must be revalidated.
    pub fn cache_control(self, read: &CatalogueRead) -> HeaderValue {
        let (max_age, revalidate) = self.bounds(read.fresh_for);
        // The most frequent values allocate nothing.
        match (self, max_age, revalidate) {
            (Self::Models, MAX_AGE, 270) => HeaderValue::from_static(
                "public, max-age=30, stale-while-revalidate=270, stale-if-error=86400",
            ),
            (Self::Providers, MAX_AGE, 3_570) => HeaderValue::from_static(
                "public, max-age=30, stale-while-revalidate=3570, stale-if-error=86400",
            ),
            (Self::ProviderStatus, MAX_AGE, _) => HeaderValue::from_static("public, max-age=30"),
            _ => value(&self.written(max_age, revalidate)),
        }
    }

    fn written(self, max_age: u64, revalidate: u64) -> String {
        let mut text = format!("public, max-age={max_age}");
        // Writing to a String cannot fail.
        if revalidate > 0 {
            let _ = write!(text, ", stale-while-revalidate={revalidate}");
        }
        if self != Self::ProviderStatus {
            let _ = write!(text, ", stale-if-error={STALE_IF_ERROR}");
        }
        text
    }

    /// Returns the seconds of `max-age` and `stale-while-revalidate`.
    fn bounds(self, fresh_for: Duration) -> (u64, u64) {
        let max_age = fresh_for.as_secs().min(MAX_AGE);
        let beyond = match self {
            _ if fresh_for.is_zero() => return (0, 0),
            Self::ProviderStatus => return (max_age, 0),
            Self::Models => Duration::ZERO,
            Self::Providers => Duration::from_hours(1).saturating_sub(CATALOGUE.fresh),
        };
        let left = match fresh_for.as_secs() {
            // Between two looks at the database the freshness counts as whole.
            _ if fresh_for + CATCH_UP >= CATALOGUE.fresh => CATALOGUE.fresh.as_secs(),
            left @ STEP.. => left / STEP * STEP,
            left => left,
        };
        (max_age, (left + beyond.as_secs()).saturating_sub(MAX_AGE))
    }
}

/// Returns `Cache-Status`, consistent with the cache's counters.
pub fn cache_status(outcome: Outcome, fresh_for: Duration) -> HeaderValue {
    match outcome {
        Outcome::Memory => hit(fresh_for.as_secs()),
        Outcome::Kv => HeaderValue::from_static("chatchonk-kv; hit, chatchonk-memory; fwd=uri-miss; stored"),
        Outcome::Origin => HeaderValue::from_static("chatchonk-memory; fwd=miss; stored"),
        Outcome::Stale => HeaderValue::from_static("chatchonk-memory; hit; detail=stale-if-error"),
        // Such a read has no answer.
        Outcome::Error => HeaderValue::from_static("chatchonk-memory; fwd=miss"),
    }
}

/// A hit with that many seconds left. The common values are static.
fn hit(seconds: u64) -> HeaderValue {
    static HITS: LazyLock<Vec<HeaderValue>> =
        LazyLock::new(|| (0..=CATALOGUE.fresh.as_secs()).map(written_hit).collect());
    let known = usize::try_from(seconds).ok().and_then(|seconds| HITS.get(seconds));
    known.cloned().unwrap_or_else(|| written_hit(seconds))
}

fn written_hit(seconds: u64) -> HeaderValue {
    value(&format!("chatchonk-memory; hit; ttl={seconds}"))
}

/// Digits and plain words are a valid value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_5_minutes_an_hour_or_half_a_minute() {
        for (lifetime, seconds, bounds) in [
            (Lifetime::Models, 300, (30, 270)),
            (Lifetime::Models, 290, (30, 270)),
            (Lifetime::Models, 289, (30, 240)),
            (Lifetime::Models, 100, (30, 60)),
            (Lifetime::Models, 31, (30, 0)),
            (Lifetime::Models, 30, (30, 0)),
            (Lifetime::Models, 7, (7, 0)),
            (Lifetime::Models, 0, (0, 0)),
            (Lifetime::Providers, 300, (30, 3_570)),
            (Lifetime::Providers, 7, (7, 3_277)),
            (Lifetime::Providers, 0, (0, 0)),
            (Lifetime::ProviderStatus, 300, (30, 0)),
            (Lifetime::ProviderStatus, 7, (7, 0)),
            (Lifetime::ProviderStatus, 0, (0, 0)),
        ] {
            assert_eq!(lifetime.bounds(Duration::from_secs(seconds)), bounds, "{lifetime:?} {seconds}");
        }
    }

    #[test]
    fn the_way_of_an_answer_is_that_of_its_read() {
        for (outcome, way) in [
            (Outcome::Memory, "chatchonk-memory; hit; ttl=42"),
            (Outcome::Kv, "chatchonk-kv; hit, chatchonk-memory; fwd=uri-miss; stored"),
            (Outcome::Origin, "chatchonk-memory; fwd=miss; stored"),
            (Outcome::Stale, "chatchonk-memory; hit; detail=stale-if-error"),
        ] {
            assert_eq!(cache_status(outcome, Duration::from_millis(42_900)), way);
        }
    }

    #[test]
    fn what_cannot_be_said_is_left_out() {
        assert_eq!(Lifetime::Models.written(0, 0), "public, max-age=0, stale-if-error=86400");
        assert_eq!(
            Lifetime::Providers.written(30, 3_540),
            "public, max-age=30, stale-while-revalidate=3540, stale-if-error=86400"
        );
        assert_eq!(Lifetime::ProviderStatus.written(7, 0), "public, max-age=7");
    }
}
