//! The lines of `check` on the database: connection, migrations, rights, and catalogue.

use crate::clock::Clock;
use crate::domain::snapshot::Snapshot;
use crate::store::{DatabaseFault, Rights, Store, TableInspection};

use super::line::{Line, Mark};

/// Connects. Returns whether the database answers.
pub(super) async fn check_database(store: &Store, lines: &mut Vec<Line>) -> bool {
    let clock = Clock::system();
    let begun = clock.now();
    if let Err(error) = store.dial_patiently().await {
        lines.push(Line::store_fault("database", &error));
        return false;
    }
    let milliseconds = (clock.now() - begun).as_secs_f64() * 1e3;
    match store.probe().await {
        Ok(probe) => {
            let finding = format!(
                "PostgreSQL {}, connected in {milliseconds:.1} ms, TLS {}",
                probe.server_version,
                store.settings().tls
            );
            lines.push(Line::new(Mark::Good, "database", finding));
            if let Err(error) = probe.accept_encoding() {
                lines.push(Line::store_fault("encoding", &error));
            }
            if probe.read_only {
                let fault = DatabaseFault::ReadOnly;
                lines.push(Line::fault("database", fault.reason(), fault.remedy()));
            }
        }
        Err(error) => lines.push(Line::store_fault("database", &error)),
    }
    true
}

/// Checks the tables. Returns whether they are those of this release.
pub(super) async fn check_tables(store: &Store, has_kv: bool, lines: &mut Vec<Line>) -> bool {
    let (line, migrated) = migrations(store).await;
    lines.push(line);
    match store.rights().await {
        // The line on the migrations explains missing tables.
        Ok(rights) if !rights.has_tables() => return false,
        Ok(rights) => {
            lines.push(privileges(&rights, has_kv));
            lines.push(owner(&rights));
            let found = store.inspect_tables().await.ok();
            lines.push(row_security(&rights, found.as_ref(), has_kv));
        }
        Err(error) => lines.push(Line::store_fault("privileges", &error)),
    }
    if migrated {
        lines.push(triggers(store).await);
        loaded_catalogue(store, lines).await;
        quarantined(store, lines).await;
    }
    migrated
}

/// Returns the line on the migrations, and whether all of them are applied.
pub(super) async fn migrations(store: &Store) -> (Line, bool) {
    const SUBJECT: &str = "migrations";
    match store.migrations().await {
        Ok(migrations) if migrations.failed => {
            let fault = DatabaseFault::MigrationFailed;
            (Line::fault(SUBJECT, fault.reason(), fault.remedy()), false)
        }
        Ok(migrations) if migrations.pending > 0 => {
            let remedy = DatabaseFault::PendingMigrations.remedy();
            (Line::fault(SUBJECT, format!("{} pending", migrations.pending), remedy), false)
        }
        Ok(migrations) => (Line::new(Mark::Good, SUBJECT, format!("{} applied", migrations.applied)), true),
        Err(error) => (Line::store_fault(SUBJECT, &error), false),
    }
}

fn privileges(rights: &Rights, has_kv: bool) -> Line {
    const SUBJECT: &str = "privileges";
    let role = &rights.role;
    let (unreadable, unwritable) = (rights.unreadable().join(", "), rights.unwritable_ledger().join(", "));
    let missing = rights.missing().join(", ");
    if !missing.is_empty() {
        let remedy =
            "restore these tables from a backup, or run `chatchonk migrate` if migrations are pending";
        Line::fault(SUBJECT, format!("missing, or not a table: {missing}"), remedy)
    } else if !unreadable.is_empty() {
        let remedy = format!(
            "as the owner: grant usage on schema chatchonk to \"{role}\"; \
             grant select on all tables in schema chatchonk to \"{role}\""
        );
        Line::fault(SUBJECT, format!("role {role} may not read {unreadable}"), remedy)
    } else if unwritable.is_empty() {
        Line::new(Mark::Good, SUBJECT, format!("role {role} reads every table and writes the KV ledger"))
    } else {
        let finding = format!("role {role} may not write {unwritable}, where writes to KV are counted");
        let remedy = format!(
            "as the owner: grant insert, update, delete on chatchonk.kv_keys, chatchonk.kv_budget to \"{role}\""
        );
        if has_kv { Line::fault(SUBJECT, finding, remedy) } else { Line::new(Mark::Absent, SUBJECT, finding) }
    }
}

/// Another owner is no fault: only migrations and seeds need the owner's rights.
fn owner(rights: &Rights) -> Line {
    let role = &rights.role;
    let (mark, finding) = match rights.other_owner() {
        Some(owner) => {
            let commands = "`chatchonk migrate` and `catalogue seed`";
            (Mark::Absent, format!("{owner} owns tables, not role {role}: run {commands} as {owner}"))
        }
        None if rights.creates => (Mark::Good, format!("role {role} owns the tables")),
        None => {
            let missing = "but migrations also need CREATE on the database";
            (Mark::Absent, format!("role {role} owns the tables, {missing}"))
        }
    };
    Line::new(mark, "owner", finding)
}

fn row_security(rights: &Rights, found: Option<&TableInspection>, has_kv: bool) -> Line {
    const SUBJECT: &str = "row-level security";
    let remedy = DatabaseFault::HiddenRows.remedy();
    let mut hidden = rights.closed(has_kv);
    hidden.extend(found.map(TableInspection::hidden).unwrap_or_default());
    hidden.sort_unstable();
    hidden.dedup();
    let (hidden, restricted) = (hidden.join(", "), rights.restricted().join(", "));
    if !hidden.is_empty() {
        Line::fault(SUBJECT, format!("hides every row of {hidden} from role {}", rights.role), remedy)
    } else if restricted.is_empty() {
        Line::new(Mark::Good, SUBJECT, format!("does not apply to role {}", rights.role))
    } else {
        let finding = format!("applies to role {} in {restricted}; rows may be missing", rights.role);
        Line::warning(SUBJECT, finding, remedy)
    }
}

async fn triggers(store: &Store) -> Line {
    const SUBJECT: &str = "triggers";
    match (store.migrations().await, store.trigger_defects().await) {
        (Ok(migrations), _) if migrations.newer => {
            Line::new(Mark::Absent, SUBJECT, "not compared: a newer release has migrated this database")
        }
        (_, Ok(defects)) if defects.is_empty() => {
            Line::new(Mark::Good, SUBJECT, "as this release installs them")
        }
        (_, Ok(defects)) => Line::fault(SUBJECT, defects.join("; "), DatabaseFault::Triggers.remedy()),
        (_, Err(error)) => Line::store_fault(SUBJECT, &error),
    }
}

async fn loaded_catalogue(store: &Store, lines: &mut Vec<Line>) {
    match store.load_catalogue().await {
        Ok(loaded) => {
            lines.push(counts(&loaded.snapshot, loaded.version, ""));
            for row in loaded.rejected {
                let remedy = "correct or delete the row; it is left out until then";
                lines.push(Line::fault("catalogue", row, remedy));
            }
            let remedy = "correct the value; it shows as unknown until then";
            let named = loaded.ignored.named();
            lines.extend(named.iter().map(|detail| Line::fault("catalogue", detail.to_string(), remedy)));
            let others = loaded.ignored.count() - named.len();
            if others > 0 {
                lines.push(Line::fault("catalogue", format!("{others} more details are ignored"), remedy));
            }
        }
        Err(error) => lines.push(Line::store_fault("catalogue", &error)),
    }
}

/// Lists values that a migration removed from their columns, so that the operator can replace them.
async fn quarantined(store: &Store, lines: &mut Vec<Line>) {
    const SUBJECT: &str = "quarantine";
    match store.quarantined_values().await {
        Ok(values) => lines.extend(values.into_iter().map(|value| {
            let remedy = format!(
                "write a valid value into the column, or leave it unknown, and then delete row {} of \
                 chatchonk.quarantined_values",
                value.id
            );
            Line::warning(SUBJECT, value.to_string(), remedy)
        })),
        // The server never reads them.
        Err(error) if error.fault() == DatabaseFault::Forbidden => {
            lines.push(Line::new(Mark::Absent, SUBJECT, "unknown: the role may not read it"));
        }
        Err(error) => lines.push(Line::store_fault(SUBJECT, &error)),
    }
}

/// Counts the catalogue. One that lists no model is a warning.
pub(super) fn counts(snapshot: &Snapshot, revision: u64, source: &str) -> Line {
    let (models, providers) = (snapshot.models().len(), snapshot.providers().len());
    let listed = snapshot.listed();
    let finding =
        format!("{models} models ({listed} listed) of {providers} providers, revision {revision}{source}");
    if listed > 0 {
        return Line::new(Mark::Good, "catalogue", finding);
    }
    let remedy = "every model is retired, or hidden with its provider: see `enabled` and `status`";
    Line::warning("catalogue", finding, remedy)
}
