//! Counts requests. Each worker has its own counters, so that a request pays for additions and a lock that only a scrape
//! contends for, briefly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::histogram::{Durations, Histogram};
use crate::http::reply::Route;

/// The methods with their own label; the last stands for all others.
pub(super) const METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "other"];
/// The classes of status.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The label of requests that reached no route: an unknown path, a preflight, or a refusal before routing.
const UNMATCHED: &str = "unmatched";

/// The requests of all workers of a server.
#[derive(Debug)]
pub struct Requests {
    clock: Clock,
    workers: Mutex<Vec<Arc<Worker>>>,
}

/// The requests of one worker. Only the worker adds to them; scrapes read them.
#[derive(Debug)]
pub struct Worker {
    clock: Clock,
    begun: AtomicU64,
    over: AtomicU64,
    unmatched: Counts,
    routes: Mutex<Vec<(Route, Arc<Counts>)>>,
}

#[derive(Debug, Default)]
struct Counts {
    answers: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    took: Histogram,
}

/// A request under way; over when it is dropped.
#[derive(Debug)]
pub struct Underway {
    worker: Arc<Worker>,
    begun: Instant,
}

/// What all workers counted of one route.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// By method and class of status.
    pub answers: [[u64; CLASSES.len()]; METHODS.len()],
    pub took: Durations,
}

impl Requests {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, workers: Mutex::default() }
    }

    /// A worker that starts.
    pub fn worker(&self) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            clock: self.clock.clone(),
            begun: AtomicU64::new(0),
            over: AtomicU64::new(0),
            unmatched: Counts::default(),
            routes: Mutex::default(),
        });
        self.workers.lock().push(Arc::clone(&worker));
        worker
    }

    /// Requests whose answer has not begun.
    pub(super) fn in_flight(&self) -> u64 {
        // In this order: a request that ends in between must not make it less than none.
        let under_way = |worker: &Arc<Worker>| {
            let over = worker.over.load(Ordering::Relaxed);
            worker.begun.load(Ordering::Relaxed).saturating_sub(over)
        };
        self.workers.lock().iter().map(under_way).sum()
    }

    /// What was counted, by route.
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
    /// A request that has arrived.
    pub fn begin(self: &Arc<Self>) -> Underway {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Underway { begun: self.clock.now(), worker: Arc::clone(self) }
    }

    /// The counts of a route, which are made when it is first asked for.
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
    /// Counts its answer, of which the body may still be to be sent. Takes a few additions; only the first request of a
    /// route and worker allocates.
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
        self.worker.over.fetch_add(1, Ordering::Relaxed);
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
