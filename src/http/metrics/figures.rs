//! Metrics of the server, its database, catalogue, providers and process.

use std::fmt;

use time::OffsetDateTime;

use crate::catalogue::{Catalogue, CatalogueRead, CatalogueSource};
use crate::domain::provider::ProviderStatus;
use crate::domain::snapshot::Snapshot;
use crate::provider_health::ProviderHealthBoard;
use crate::status::{DatabaseState, Status};
use crate::store::DatabaseFault;
use crate::telemetry;

use super::families::{Families, Labels};
use super::process::Process;
use super::requests::{CLASSES, METHODS, Requests};

pub(super) fn service(to: &mut Families<'_>, status: &Status) -> fmt::Result {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("commit", crate::COMMIT)];
    to.gauges("chatchonk_build_info", "Always 1; its labels say what runs.", [(labels, 1_u64)])?;
    let ready = status.is_decided() && !status.is_draining();
    to.gauge("chatchonk_ready", "1 when /api/health/ready is 200.", Some(u64::from(ready)))
}

pub(super) fn requests(to: &mut Families<'_>, requests: &Requests) -> fmt::Result {
    let routes = requests.by_route();
    let methods =
        |(route, counted)| METHODS.iter().zip(counted).map(move |(method, classes)| (route, method, classes));
    let counted = routes.iter().map(|(route, counted)| (*route, &counted.answers)).flat_map(methods);
    let answers = counted.flat_map(|(route, method, classes)| {
        let class = move |(class, count): (&&'static str, &u64)| {
            ([("method", *method), ("route", route), ("status", *class)], *count)
        };
        CLASSES.iter().zip(classes).map(class)
    });
    // Zeros would be most of the text. 5xx series start at 0, as `rate` misses the first burst of a new series.
    let is_watched = |[(_, method), _, (_, class)]: &Labels<'_, 3>| (*method, *class) == ("GET", "5xx");
    let answers = answers.filter(|(labels, count)| *count > 0 || is_watched(labels));
    to.counters("chatchonk_http_requests", "Requests answered.", answers)?;
    let took = routes.iter().map(|(route, counted)| ([("route", *route)], counted.took));
    let help = "From the head of a request to the head of its answer.";
    to.histograms("chatchonk_http_request_duration_seconds", help, took)?;
    let help = "Requests that have no answer yet.";
    to.gauge("chatchonk_http_requests_in_flight", help, Some(requests.in_flight()))
}

pub(super) fn database(to: &mut Families<'_>, status: &Status, catalogue: &Catalogue) -> fmt::Result {
    let report = status.database();
    let (latency, fault) = match report.state {
        DatabaseState::Up { latency, fault } => (Some(latency.as_secs_f64()), fault),
        DatabaseState::Unknown | DatabaseState::Down(_) | DatabaseState::NotConfigured => (None, None),
    };
    let (up, read_only) = (latency.is_some(), fault == Some(DatabaseFault::ReadOnly));
    to.gauge("chatchonk_database_up", "1 when the last check found it answering.", Some(u64::from(up)))?;
    to.gauge("chatchonk_database_read_only", "1 when it refuses writes.", Some(u64::from(read_only)))?;
    let help = "Round trip of the last check, if it is up.";
    to.gauge("chatchonk_database_check_latency_seconds", help, latency)?;
    let checked = report.checked_at.map(seconds);
    to.gauge("chatchonk_database_checked_timestamp_seconds", "When the last check ended.", checked)?;
    let listener = *status.listener().read();
    let help = "1 when changes are announced; 0 when versions are polled.";
    to.gauge("chatchonk_database_listening", help, Some(u64::from(listener.listening)))?;
    let connections = catalogue.connections();
    let by_state = connections.into_iter().flat_map(|connections| {
        [([("state", "in_use")], connections.in_use), ([("state", "idle")], connections.idle)]
    });
    to.gauges("chatchonk_database_connections", "Connections of the pool.", by_state)?;
    let limit = connections.map(|connections| connections.limit);
    to.gauge("chatchonk_database_connections_limit", "How many there may be.", limit)
}

pub(super) fn catalogue(to: &mut Families<'_>, catalogue: &Catalogue, now: OffsetDateTime) -> fmt::Result {
    let report = catalogue.report();
    let read = report.as_ref().map(|report| &report.read);
    let counted = |count: fn(&Snapshot) -> usize| {
        read.map(|read| u64::try_from(count(read.snapshot())).unwrap_or(u64::MAX))
    };
    let revision = read.map(CatalogueRead::revision);
    to.gauge("chatchonk_catalogue_revision", "Version of the catalogue served; 0: builtin.", revision)?;
    to.gauge("chatchonk_catalogue_models", "Models listed.", counted(Snapshot::listed))?;
    to.gauge("chatchonk_catalogue_providers", "Providers.", counted(|snapshot| snapshot.providers().len()))?;
    let help = "Rows left out because they cannot be understood.";
    to.gauge("chatchonk_catalogue_skipped_rows", help, counted(Snapshot::skipped))?;
    let help = "Details that cannot be understood and show as unknown.";
    to.gauge("chatchonk_catalogue_ignored_details", help, counted(Snapshot::details_ignored))?;
    let age = |at: OffsetDateTime| (now - at).as_seconds_f64().max(0.0);
    let loaded = report.as_ref().map(|report| age(report.read.entry.loaded_at));
    to.gauge("chatchonk_catalogue_age_seconds", "Time since it was read from its source.", loaded)?;
    let validated = report.as_ref().and_then(|report| report.validated_at).map(age);
    let help = "Time since it was last found to be current; absent for the builtin one.";
    to.gauge("chatchonk_catalogue_validated_age_seconds", help, validated)?;
    let is_stale = report.as_ref().map(|report| u64::from(report.stale));
    to.gauge("chatchonk_catalogue_stale", "1 when it may be out of date.", is_stale)?;
    let source = read.map(|read| read.source().as_str());
    let help = "Where it is from: 1 for the source that is.";
    to.state("chatchonk_catalogue_source", help, "source", CatalogueSource::NAMES, source)
}

pub(super) fn providers(to: &mut Families<'_>, board: &ProviderHealthBoard) -> fmt::Result {
    let standings = board.standings();
    let statuses = standings.iter().flat_map(|(id, standing)| {
        let value = |status: &'static ProviderStatus| {
            let labels = [("provider", id.as_str()), ("status", status.as_str())];
            (labels, u64::from(*status == standing.status))
        };
        ProviderStatus::ALL.iter().map(value)
    });
    let help = "How enabled providers are: 1 for the status that is.";
    to.gauges("chatchonk_provider_status", help, statuses)?;
    let latencies = standings.iter().flat_map(|(id, standing)| {
        let latency = |(percent, label)| {
            let milliseconds = standing.latency(percent)?;
            Some(([("provider", id.as_str()), ("quantile", label)], f64::from(milliseconds) / 1e3))
        };
        [(50, "0.5"), (95, "0.95")].into_iter().filter_map(latency)
    });
    let help = "How long the last 20 answers to probes took.";
    to.gauges("chatchonk_provider_latency_seconds", help, latencies)
}

pub(super) fn process(to: &mut Families<'_>, started_at: OffsetDateTime) -> fmt::Result {
    let process = Process::read();
    let started = seconds(started_at);
    to.gauge("process_start_time_seconds", "When the process started, as Unix time.", Some(started))?;
    let cpu = process.cpu.map(|cpu| cpu.as_secs_f64());
    to.seconds("process_cpu_seconds", "Processor time used.", cpu)?;
    to.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes)?;
    to.gauge("process_threads", "Threads.", process.threads)?;
    to.gauge("process_open_fds", "Open file descriptors.", process.open_files)?;
    to.gauge("process_max_fds", "How many there may be.", process.max_files)
}

pub(super) fn log(to: &mut Families<'_>) -> fmt::Result {
    let errors = telemetry::connection_errors();
    let errors = [([("kind", "request")], errors.request), ([("kind", "accept")], errors.accept)];
    to.counters("chatchonk_connection_errors", "Connections that failed below HTTP.", errors)?;
    let help = "Log lines that could not be written.";
    to.counters("chatchonk_log_lines_dropped", help, [([], telemetry::dropped_lines())])
}

fn seconds(at: OffsetDateTime) -> f64 {
    (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()
}
