//! How often one client may ask.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServiceRequest;
use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// Checks between two clean-ups of clients who have not asked for a while.
const CHECKS_PER_CLEANING: u32 = 1_024;
/// Clients that are told apart. Beyond that, all count as one until some have been silent for two minutes.
const MAX_CLIENTS: usize = 50_000;
/// Where Render, whose edge is Cloudflare's, names the client. Anybody else could write anything into it.
const CLIENT_HEADER: &str = "cf-connecting-ip";

/// A limit of requests per minute for each client, who may use a minute's worth at once.
///
/// Clients are told apart by their address, those with IPv6 by its first 64 bits, which one subscriber has to himself.
/// Each instance counts for itself.
pub struct RateLimit {
    limiter: RateLimiter<IpAddr, DashMapStateStore<IpAddr>, LimiterClock, NoOpMiddleware<Instant>>,
    clock: LimiterClock,
    per_minute: NonZeroU32,
    behind_render: bool,
    checks: AtomicU32,
    crowded: AtomicBool,
}

/// A request too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany {
    pub per_minute: NonZeroU32,
    /// Whole seconds until one more is allowed, at least 1.
    pub retry_after: u64,
}

/// The server's clock as the limiter reads it.
#[derive(Debug, Clone)]
struct LimiterClock(Clock);

impl governor::clock::Clock for LimiterClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl RateLimit {
    /// Nobody has asked yet. `behind_render`: whether the address of clients stands in the header that Render sets.
    #[must_use]
    pub fn new(per_minute: NonZeroU32, behind_render: bool, clock: Clock) -> Self {
        let clock = LimiterClock(clock);
        Self {
            limiter: RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone()),
            clock,
            per_minute,
            behind_render,
            checks: AtomicU32::new(0),
            crowded: AtomicBool::new(false),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`TooMany`] when it is one too many; it does not count then.
    pub(super) fn check(&self, request: &ServiceRequest) -> Result<(), TooMany> {
        self.clean_now_and_then();
        self.check_client(self.client(request))
    }

    fn check_client(&self, client: IpAddr) -> Result<(), TooMany> {
        // The one that all clients share when there are too many to tell apart.
        let shared = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let client = if self.crowded.load(Ordering::Relaxed) { shared } else { client };
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

    /// Whoever has not asked for two minutes has nothing left to be counted.
    fn clean_now_and_then(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_PER_CLEANING) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
            self.crowded.store(self.limiter.len() >= MAX_CLIENTS, Ordering::Relaxed);
        }
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
    fn clients_are_told_apart_by_address_and_those_of_ipv6_by_their_network() {
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
    fn silent_clients_are_forgotten_and_too_many_share_one_limit() {
        let (limit, hand) = limit(1, false);
        for n in 0..60_000_u32 {
            limit.clean_now_and_then();
            let _ = limit.check_client(IpAddr::from(n.to_be_bytes()));
        }
        assert!(limit.limiter.len() <= MAX_CLIENTS + CHECKS_PER_CLEANING as usize);
        assert!(limit.check_client(IpAddr::from([203, 0, 113, 1])).is_err());
        hand.advance(Duration::from_mins(2));
        for _ in 0..CHECKS_PER_CLEANING {
            limit.clean_now_and_then();
        }
        assert_eq!(limit.limiter.len(), 0);
        assert!(limit.check_client(IpAddr::from([203, 0, 113, 1])).is_ok());
    }
}
