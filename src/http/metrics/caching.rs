//! Metrics of the caches and of Cloudflare KV.

use std::fmt;

use crate::cache::{Meter, Metered, Outcome};
use crate::http::reply::Editions;
use crate::kv_tier::{CallOutcome, KvBudget, Operation, SharedTier, Skip};

use super::families::Families;

pub(super) fn caches(to: &mut Families<'_>, meters: &[Meter], editions: &Editions) -> fmt::Result {
    let families: Vec<_> = meters.iter().map(|meter| meter()).collect();
    let each = |value: fn(&Metered) -> u64| {
        families.iter().map(move |metered| ([("family", metered.family)], value(metered)))
    };
    let reads = families.iter().flat_map(|metered| {
        let of = &metered.statistics;
        [
            (Outcome::Memory, of.memory),
            (Outcome::Kv, of.kv),
            (Outcome::Stale, of.stale),
            (Outcome::Origin, of.origin),
            (Outcome::Error, of.error),
        ]
        .map(|(outcome, count)| ([("family", metered.family), ("outcome", outcome.as_str())], count))
    });
    to.counters("chatchonk_cache_reads", "Reads, by the tier that answered.", reads)?;
    to.counters("chatchonk_cache_loads", "Loads from the origin.", each(|of| of.statistics.loads))?;
    let help = "Loads and reads of a version that failed.";
    to.counters("chatchonk_cache_load_failures", help, each(|of| of.statistics.load_failures))?;
    let help = "Reads of a version that found the value unchanged.";
    to.counters("chatchonk_cache_validations", help, each(|of| of.statistics.validations))?;
    let loads = families.iter().map(|metered| ([("family", metered.family)], metered.loads));
    to.histograms("chatchonk_cache_load_duration_seconds", "Loads from the origin that ended.", loads)?;
    to.gauges("chatchonk_cache_entries", "Values in memory.", each(|of| of.statistics.entries))?;
    to.gauges("chatchonk_cache_bytes", "Their bytes.", each(|of| of.statistics.bytes))?;
    let (bodies, bytes) = editions.kept();
    to.gauge("chatchonk_representations", "Bodies that are ready to be sent.", Some(bodies))?;
    to.gauge("chatchonk_representation_bytes", "Their bytes.", Some(bytes))
}

pub(super) fn kv(to: &mut Families<'_>, tier: Option<&SharedTier>) -> fmt::Result {
    let report = tier.map(SharedTier::report);
    let is = report.as_ref().map(|report| u64::from(report.available));
    to.gauge("chatchonk_kv_available", "1 when the last call went well and nothing is held back.", is)?;
    let help = "The circuit breaker: 1 for the state that is.";
    let gate = report.as_ref().map(|report| report.state);
    to.state("chatchonk_kv_gate", help, "state", &["closed", "half_open", "open"], gate)?;
    let calls = tier.map(SharedTier::calls).unwrap_or_default();
    let outcomes = calls.iter().flat_map(|calls| {
        let operation = calls.operation.as_str();
        let count = move |(outcome, count): &(CallOutcome, u64)| {
            ([("operation", operation), ("outcome", outcome.as_str())], *count)
        };
        calls.outcomes.iter().map(count)
    });
    to.counters("chatchonk_kv_calls", "Calls to Cloudflare, by how they ended.", outcomes)?;
    let took = calls.iter().map(|calls| ([("operation", calls.operation.as_str())], calls.took));
    to.histograms("chatchonk_kv_call_duration_seconds", "Calls to Cloudflare.", took)?;
    let lookups = report.iter().flat_map(|report| {
        let of = |outcome, count| ([("outcome", outcome)], count);
        [of("hit", report.hits), of("miss", report.misses), of("rejected", report.rejected)]
    });
    to.counters("chatchonk_kv_lookups", "Keys looked up, by what was found.", lookups)?;
    let skipped = report.iter().flat_map(|report| {
        let count = |skip: &'static Skip| {
            ([("reason", skip.as_str())], report.skipped.get(skip).copied().unwrap_or(0))
        };
        Skip::ALL.iter().map(count)
    });
    to.counters("chatchonk_kv_skipped", "Calls not made.", skipped)?;
    let changes = report.iter().flat_map(|report| {
        let of = |operation: Operation, count| ([("operation", operation.as_str())], count);
        [of(Operation::Write, report.writes), of(Operation::Delete, report.deletes)]
    });
    to.counters("chatchonk_kv_changes", "Pairs written and keys deleted by this instance.", changes)?;
    let queued = report.as_ref().map(|report| u64::try_from(report.queued).unwrap_or(u64::MAX));
    to.gauge("chatchonk_kv_queued", "Keys that wait to be written or deleted.", queued)?;
    let budget = report.iter().flat_map(|report| {
        let of = |operation: Operation, line| ([("operation", operation.as_str())], line);
        let KvBudget { reads, writes, deletes, .. } = report.budget;
        [of(Operation::Read, reads), of(Operation::Write, writes), of(Operation::Delete, deletes)]
    });
    let used = budget.clone().filter_map(|(labels, line)| Some((labels, line.used?)));
    let help = "Operations of today (UTC): reads of this instance, writes and deletes of all.";
    to.gauges("chatchonk_kv_budget_used", help, used)?;
    let limits = budget.map(|(labels, line)| (labels, line.limit));
    to.gauges("chatchonk_kv_budget_limit", "How many there may be a day.", limits)
}
