//! Counts requests per worker, so that only a scrape contends with a request for a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::histogram::{Durations, Histogram};
use crate::http::reply::Route;

/// Labels of methods; the last covers all others.
pub(super) const METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "other"];
/// Labels of status classes.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Route label of unknown paths, preflights and requests refused before routing.
const UNMATCHED: &str = "unmatched";

/// Counters of all workers of a server.
#[derive(Debug)]
pub struct Requests {
    clock: Clock,
    workers: Mutex<Vec<Arc<Worker>>>,
}

/// Counters of one worker. Only that worker writes them.
#[derive(Debug)]
pub struct Worker {
    clock: Clock,
    in_flight: AtomicU64,
    unmatched: Counts,
    routes: Mutex<Vec<(Route, Arc<Counts>)>>,
}

#[derive(Debug, Default)]
struct Counts {
    answers: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    took: Histogram,
}

/// A request in flight until dropped.
#[derive(Debug)]
pub struct Underway {
    worker: Arc<Worker>,
    begun: Instant,
}

/// Sums over all workers for one route.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// By method and class of status.
    pub answers: [[u64; CLASSES.len()]; METHODS.len()],
    pub took: Durations,
}

impl Requests {
    /// Starts without workers.
    pub fn new(clock: Clock) -> Self {
        Self { clock, workers: Mutex::default() }
    }

    /// Adds the counters of a new worker.
    pub fn worker(&self) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            clock: self.clock.clone(),
            in_flight: AtomicU64::default(),
            unmatched: Counts::default(),
            routes: Mutex::default(),
        });
        self.workers.lock().push(Arc::clone(&worker));
        worker
    }

    /// Returns the number of requests without an answer.
    pub(super) fn in_flight(&self) -> u64 {
        self.workers.lock().iter().map(|worker| worker.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Sums the counters by route.
    pub(super) fn by_route(&self) -> BTreeMap<&'static str, Counted> {
        let mut routes: BTreeMap<_, Counted> = BTreeMap::new();
        for worker in self.workers.lock().iter() {
            routes.entry(UNMATCHED).or_default().add(&worker.unmatched);
            for (Route(path), counts) in worker.routes.lock().iter() {
                routes.entry(path).or_default().add(counts);
            }
        }
        routes
    }
}

impl Worker {
    /// Counts a new request.
    pub fn begin(self: &Arc<Self>) -> Underway {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Underway { begun: self.clock.now(), worker: Arc::clone(self) }
    }

    /// Returns the counters of a route, which its first request creates.
    fn counts(&self, route: Route) -> Arc<Counts> {
        let mut routes = self.routes.lock();
        if let Some((_, counts)) = routes.iter().find(|(known, _)| *known == route) {
            return Arc::clone(counts);
        }
        let counts = Arc::<Counts>::default();
        routes.push((route, Arc::clone(&counts)));
        counts
    }
}

impl Underway {
    /// Counts the answer, whose body may not be sent yet. Only the first request per route and worker allocates.
    pub fn answered(self, route: Option<Route>, method: &Method, status: StatusCode) {
        let of_route = route.map(|route| self.worker.counts(route));
        let counts = of_route.as_deref().unwrap_or(&self.worker.unmatched);
        counts.took.record(self.worker.clock.now().saturating_duration_since(self.begun));
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let known = METHODS.iter().position(|known| *known == method.as_str());
        counts.answers[known.unwrap_or(METHODS.len() - 1)][class].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.worker.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counted {
    fn add(&mut self, counts: &Counts) {
        for (sums, answers) in self.answers.iter_mut().zip(&counts.answers) {
            for (sum, answers) in sums.iter_mut().zip(answers) {
                *sum += answers.load(Ordering::Relaxed);
            }
        }
        self.took += counts.took.read();
    }
}
