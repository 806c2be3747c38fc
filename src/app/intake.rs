//! Logs that the server cannot accept connections, once per outage: actix repeats its error with every attempt.

use std::time::Duration;

use crate::clock::Clock;
use crate::outage::Outage;
use crate::telemetry;

/// Time between two looks at the count of failures.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long no failure may occur before the outage is over.
const CALM: Duration = Duration::from_mins(1);

/// Runs until it is dropped.
pub(super) async fn watch(clock: Clock) {
    let (mut before, mut outage) = (telemetry::connection_errors().accept, Outage::new(CALM));
    loop {
        clock.sleep(INTERVAL).await;
        let failures = telemetry::connection_errors().accept;
        if std::mem::replace(&mut before, failures) == failures {
            if outage.record_success(clock.now()).is_some() {
                tracing::info!("connections are accepted again");
            }
        } else if outage.record_failure((), clock.now()) {
            tracing::warn!(
                "connections cannot be accepted, mostly because no file descriptor is free; raise the hard limit of open files \
                 (`ulimit -Hn`), or find the client that holds the connections"
            );
        }
    }
}
