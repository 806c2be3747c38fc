//! Limits requests per client and minute.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::http::reply::{ApiError, Code};

/// Number of counters, over which clients are spread by hash. Of 1,000 simultaneous clients, one shares its counter
/// with a probability of 1.5 %.
const COUNTERS: usize = 1 << 16;
/// Header in which Render names the client. Elsewhere clients could forge it.
const CLIENT_HEADER: &str = "cf-connecting-ip";

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A limit of requests per minute and client, all of which may come at once.
///
/// A client is an IPv4 address or the first 64 bits of an IPv6 address, which one subscriber has. The table of counters
/// has a fixed size of 512 KiB. Clients that share a counter are refused only if they exceed the limit together. Each
/// instance counts separately.
pub struct RateLimit {
    limiter: RateLimiter<IpAddr, Counters, LimiterClock, NoOpMiddleware<Instant>>,
    clock: LimiterClock,
    per_minute: NonZeroU32,
    behind_render: bool,
}

/// Counters by hash. The seed is random, so no client can choose its counter.
struct Counters {
    counters: Box<[InMemoryState]>,
    seed: RandomState,
}

impl Counters {
    fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| InMemoryState::default()).collect();
        Self { counters, seed: RandomState::new() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are all that counts")]
    fn of(&self, client: IpAddr) -> &InMemoryState {
        &self.counters[self.seed.hash_one(client) as usize % COUNTERS]
    }
}

impl StateStore for Counters {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, client: &IpAddr, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.of(*client).measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

/// Refusal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    pub per_minute: NonZeroU32,
    /// Whole seconds until the next is allowed, at least 1.
    pub retry_after: u64,
}

impl From<TooMany> for ApiError {
    /// With the headers of `draft-ietf-httpapi-ratelimit-headers-10`.
    fn from(TooMany { per_minute, retry_after }: TooMany) -> Self {
        let detail = format!("{per_minute} requests a minute are allowed; try again in {retry_after} s");
        let number = |number: u64| HeaderValue::from(number);
        let text =
            |text: String| HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self::new(Code::RateLimited, detail)
            .with(RETRY_AFTER, number(retry_after))
            .with(RATE_LIMIT_POLICY, text(format!("\"client\";q={per_minute};w=60")))
            .with(RATE_LIMIT, text(format!("\"client\";r=0;t={retry_after}")))
    }
}

/// The server's clock for the limiter.
#[derive(Debug, Clone)]
pub struct LimiterClock(pub Clock);

impl governor::clock::Clock for LimiterClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl RateLimit {
    /// `behind_render`: whether Render's header names the client.
    pub fn new(per_minute: NonZeroU32, behind_render: bool, clock: Clock) -> Self {
        let clock = LimiterClock(clock);
        Self {
            limiter: RateLimiter::new(Quota::per_minute(per_minute), Counters::new(), clock.clone()),
            clock,
            per_minute,
            behind_render,
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`TooMany`] beyond the limit; it does not count then.
    pub fn check(&self, request: &ServiceRequest) -> Result<(), TooMany> {
        self.check_client(self.client(request))
    }

    fn check_client(&self, client: IpAddr) -> Result<(), TooMany> {
        self.limiter.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let retry_after = wait.as_secs() + u64::from(wait > Duration::from_secs(wait.as_secs()));
            TooMany { per_minute: self.per_minute, retry_after: retry_after.max(1) }
        })
    }

    fn client(&self, request: &ServiceRequest) -> IpAddr {
        let named = || request.headers().get(CLIENT_HEADER)?.to_str().ok()?.trim().parse().ok();
        let peer = || request.peer_addr().map(|address| address.ip());
        let address = if self.behind_render { named().or_else(peer) } else { peer() };
        subscriber(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
    }
}

fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use time::OffsetDateTime;

    use super::*;
    use crate::clock::ClockHand;

    fn limit(per_minute: u32, behind_render: bool) -> (RateLimit, ClockHand) {
        let (clock, hand) = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        (RateLimit::new(NonZeroU32::new(per_minute).unwrap(), behind_render, clock), hand)
    }

    fn request(peer: &str, named: Option<&str>) -> ServiceRequest {
        let request = TestRequest::default().peer_addr(peer.parse().unwrap());
        named
            .into_iter()
            .fold(request, |request, name| request.insert_header((CLIENT_HEADER, name)))
            .to_srv_request()
    }

    #[test]
    fn a_minutes_worth_may_be_asked_at_once_and_then_one_at_a_time() {
        let (limit, hand) = limit(60, false);
        let ask = || limit.check(&request("192.0.2.1:1", None));
        assert!((0..60).all(|_| ask().is_ok()));
        let too_many = ask().unwrap_err();
        assert_eq!((too_many.per_minute.get(), too_many.retry_after), (60, 1));
        hand.advance(Duration::from_secs(1));
        assert!(ask().is_ok() && ask().is_err());
        hand.advance(Duration::from_mins(1));
        assert!((0..60).all(|_| ask().is_ok()));
    }

    #[test]
    fn clients_differ_by_address_and_in_ipv6_by_network() {
        let (limit, _) = limit(1, false);
        let ask = |peer| limit.check(&request(peer, None)).is_ok();
        assert!(ask("192.0.2.1:1") && ask("192.0.2.2:1") && !ask("192.0.2.1:2"));
        assert!(ask("[2001:db8::1]:1") && !ask("[2001:db8::2]:1") && ask("[2001:db8:0:1::1]:1"));
        assert!(!ask("[::ffff:192.0.2.1]:1"), "the same as before");
    }

    #[test]
    fn the_header_counts_behind_render_only() {
        let (render, _) = limit(1, true);
        let ask = |named| render.check(&request("192.0.2.1:1", named)).is_ok();
        assert!(ask(Some("198.51.100.1")) && ask(Some("198.51.100.2")) && !ask(Some("198.51.100.1")));
        assert!(ask(Some("nonsense")) && !ask(None), "the peer's own address");
        let (elsewhere, _) = limit(1, false);
        let ask = |named| elsewhere.check(&request("192.0.2.1:1", Some(named))).is_ok();
        assert!(ask("198.51.100.1") && !ask("198.51.100.2"));
    }

    #[test]
    fn a_flood_from_a_million_addresses_refuses_no_rare_client() {
        let (limit, _) = limit(60, false);
        let refused =
            (0..1_000_000_u32).filter(|n| limit.check_client(IpAddr::from(n.to_be_bytes())).is_err());
        // 15 of them share a counter on average; the chance that 61 do anywhere is less than one in 10^12.
        assert_eq!(refused.count(), 0);
        let guest = IpAddr::from([203, 0, 113, 1]);
        assert!(limit.check_client(guest).is_ok());
        while limit.check_client(guest).is_ok() {}
        let shared = (0..100_000_u32).filter(|n| limit.check_client(IpAddr::from(n.to_le_bytes())).is_err());
        assert!(shared.count() < 20, "one counter among {COUNTERS}");
    }
}
