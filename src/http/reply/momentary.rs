//! Documents that are requested more often than they change.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Bytes;
use parking_lot::RwLock;

/// Maximum age of such a document.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A document that is rebuilt when its source changes, and otherwise at most once a second per simultaneous caller.
#[derive(Debug)]
pub struct Momentary<K, D>(RwLock<Option<Arc<Written<K, D>>>>);

#[derive(Debug)]
pub struct Written<K, D> {
    of: K,
    at: Duration,
    pub document: D,
}

impl<K, D> Default for Momentary<K, D> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: PartialEq, D> Momentary<K, D> {
    /// Returns the document for `of`. `now` is monotonic time. The lock is not held while the document is written.
    pub fn get(&self, of: K, now: Duration, write: impl FnOnce() -> D) -> Arc<Written<K, D>> {
        let held = self.0.read().clone();
        let is_young = |held: &Arc<Written<K, D>>| held.of == of && now.saturating_sub(held.at) < MAX_AGE;
        if let Some(held) = held.filter(is_young) {
            return held;
        }
        let written = Arc::new(Written { of, at: now, document: write() });
        *self.0.write() = Some(Arc::clone(&written));
        written
    }
}

/// Builds an answer about one moment, which clients must not keep.
pub fn momentary(status: StatusCode, json: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_rebuilt_after_a_second_and_at_every_change() {
        let momentary = Momentary::default();
        let mut written = 0;
        for (of, milliseconds, times) in
            [("a", 0, 1), ("a", 999, 1), ("a", 1_000, 2), ("b", 1_001, 3), ("b", 1_500, 3), ("a", 1_600, 4)]
        {
            momentary.get(of, Duration::from_millis(milliseconds), || written += 1);
            assert_eq!(written, times, "{of} {milliseconds}");
        }
    }
}
