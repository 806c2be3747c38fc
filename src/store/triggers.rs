//! The triggers of the catalogue, compared with the migration that defines them, and installed again from it.

use std::collections::HashMap;

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgExecutor};

use super::{Store, StoreError};

/// Defines every trigger and its function; can be run again. A migration that changes a trigger takes its place here.
const DEFINITION: &str = include_str!("../../migrations/20261128000200_raise_versions_for_real_changes.sql");
/// Only one session at a time installs them.
const LOCK: i64 = 0x7472_6967_6765_7273;

/// A trigger as the database has it.
struct Installed {
    table: String,
    name: String,
    definition: String,
    fires: bool,
    function: String,
    body: String,
    is_definer: bool,
}

/// A function as [`DEFINITION`] has it.
struct Function<'d> {
    body: &'d str,
    is_definer: bool,
}

impl Store {
    /// Compares the triggers with those of this release. Returns one line for each that is missing, disabled or altered.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails.
    pub async fn trigger_defects(&self) -> Result<Vec<String>, StoreError> {
        defects(self.pool()?).await
    }
}

/// Installs all triggers again if one of them has a defect. Returns the defects.
pub(super) async fn repair(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let found = defects(&mut *connection).await?;
    if !found.is_empty() {
        let mut transaction = connection.begin().await?;
        sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
        sqlx::raw_sql(DEFINITION).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(found)
}

async fn defects(executor: impl PgExecutor<'_>) -> Result<Vec<String>, StoreError> {
    let installed = sqlx::query_as!(
        Installed,
        r#"
        select c.relname::text as "table!", t.tgname::text as "name!", pg_get_triggerdef(t.oid) as "definition!",
               t.tgenabled = 'A' or (t.tgenabled = 'O' and current_setting('session_replication_role') <> 'replica')
                   as "fires!",
               fn.nspname || '.' || p.proname as "function!", p.prosrc as "body!", p.prosecdef as "is_definer!"
        from pg_trigger t
        join pg_class c on c.oid = t.tgrelid
        join pg_namespace n on n.oid = c.relnamespace
        join pg_proc p on p.oid = t.tgfoid
        join pg_namespace fn on fn.oid = p.pronamespace
        where n.nspname = 'chatchonk' and not t.tgisinternal
        "#
    )
    .fetch_all(executor)
    .await?;
    let functions = functions();
    let defects = triggers().filter_map(|(table, name, definition)| {
        let found = installed.iter().find(|found| (&*found.table, &*found.name) == (&*table, &*name));
        let defect = match found {
            None => "is missing",
            Some(found) if !found.fires => "is disabled",
            // First, because the definition shows another function's schema on some search paths only.
            Some(found) if !functions.get(&*found.function).is_some_and(|own| own.is(found)) => {
                "calls an altered function"
            }
            Some(found) if normal(&found.definition) != definition => "is altered",
            Some(_) => return None,
        };
        Some(format!("{name} on {table} {defect}"))
    });
    Ok(defects.collect())
}

impl Function<'_> {
    fn is(&self, found: &Installed) -> bool {
        self.body == found.body && self.is_definer == found.is_definer
    }
}

/// Table, name and normal form of every trigger.
fn triggers() -> impl Iterator<Item = (String, String, String)> {
    DEFINITION.split("\ncreate or replace trigger ").skip(1).filter_map(|rest| {
        let definition = normal(&format!("create trigger {}", rest.split(';').next()?));
        let name = definition.split(' ').nth(2)?.to_owned();
        let table = definition.split(" on ").nth(1)?.split(' ').next()?.to_owned();
        Some((table, name, definition))
    })
}

/// Every function by its name with its schema.
fn functions() -> HashMap<&'static str, Function<'static>> {
    let functions = DEFINITION.split("\ncreate or replace function ").skip(1);
    let read = functions.filter_map(|rest| {
        let mut parts = rest.split("$$");
        let (head, body) = (parts.next()?, parts.next()?);
        let name = head.split('(').next()?;
        Some((name, Function { body, is_definer: head.contains(" security definer ") }))
    });
    read.collect()
}

/// PostgreSQL leaves out a schema that is on the role's search path, and prints key words in upper case.
fn normal(definition: &str) -> String {
    let words: Vec<_> = definition.split_whitespace().collect();
    words.join(" ").to_ascii_lowercase().replace("chatchonk.", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migration_defines_five_triggers_for_versions_on_each_table() {
        let all: Vec<_> = triggers().collect();
        for table in ["providers", "models", "task_types", "model_tasks"] {
            let count =
                all.iter().filter(|(of, name, _)| of == table && name.contains("cache_version")).count();
            assert_eq!(count, 5, "{table}: {all:?}");
        }
        assert_eq!(all.len(), 25);
        assert_eq!(functions().len(), 4);
    }
}
