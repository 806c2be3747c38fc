//! Compares the catalogue's triggers with the migration that defines them, and installs them again from it.

use std::collections::HashMap;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::{Store, StoreError};

/// Defines every trigger and its function, and can be run again. Replace it when a migration changes a trigger.
const DEFINITION: &str = include_str!("../../migrations/20261128000200_raise_versions_for_real_changes.sql");
/// The tables whose edits raise the version.
const TABLES: [&str; 4] = ["providers", "models", "task_types", "model_tasks"];
/// Advisory lock for installing them.
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

impl Store {
    /// Returns one line for each trigger that is missing, disabled or altered, and for each table that can be edited under
    /// another name, where its triggers do not fire.
    ///
    /// # Errors
    /// [`StoreError`] when a statement fails.
    pub async fn trigger_defects(&self) -> Result<Vec<String>, StoreError> {
        let mut connection = self.pool()?.acquire().await?;
        let aliases = aliases(&mut connection).await?;
        let mut found = damage(&mut connection, &aliases).await?;
        found.extend(aliases.into_iter().map(|alias| {
            let Alias { table, finding, .. } = alias;
            format!(
                "{table} {finding}: edits under another name raise no version and show up to a minute late"
            )
        }));
        Ok(found)
    }
}

/// Installs all triggers again if any has a defect. Returns the defects.
///
/// # Errors
/// [`StoreError::Triggers`] with the remaining defects; any other when a statement fails.
pub(super) async fn repair(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let aliases = aliases(connection).await?;
    let found = damage(connection, &aliases).await?;
    if found.is_empty() {
        return Ok(found);
    }
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
    sqlx::raw_sql(DEFINITION).execute(&mut *transaction).await?;
    transaction.commit().await?;
    let left = damage(connection, &aliases).await?;
    if left.is_empty() { Ok(found) } else { Err(StoreError::Triggers(left)) }
}

/// A table whose rows can be edited under another name. Statement triggers fire for the named table only.
struct Alias {
    table: String,
    is_view: bool,
    finding: String,
}

async fn aliases(connection: &mut PgConnection) -> Result<Vec<Alias>, StoreError> {
    let aliases = sqlx::query_as!(
        Alias,
        r#"
        select c.relname::text as "table!", c.relkind in ('v', 'm', 'f') as "is_view!", found as "finding!"
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        cross join lateral (
            select 'is a view or a foreign table' as found where c.relkind in ('v', 'm', 'f')
            union all
            select 'has partitions or child tables (' || string_agg(inhrelid::regclass::text, ', ') || ')'
            from pg_inherits where inhparent = c.oid having count(*) > 0
            union all
            select 'is a child of ' || string_agg(inhparent::regclass::text, ', ')
            from pg_inherits where inhrelid = c.oid having count(*) > 0
        ) findings
        where n.nspname = 'chatchonk' and c.relname = any($1)
        order by 1, 3
        "#,
        &TABLES.map(str::to_owned)
    )
    .fetch_all(connection)
    .await?;
    Ok(aliases)
}

/// Returns one line for each trigger that is missing, disabled or altered. Skips views, which cannot have triggers.
async fn damage(connection: &mut PgConnection, aliases: &[Alias]) -> Result<Vec<String>, StoreError> {
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
    .fetch_all(connection)
    .await?;
    let functions = functions();
    let is_view = |table: &str| aliases.iter().any(|alias| alias.is_view && alias.table == table);
    let expected = triggers().filter(|(table, ..)| !is_view(table));
    let defects = expected.filter_map(|(table, name, definition)| {
        let found = installed.iter().find(|found| (&*found.table, &*found.name) == (&*table, &*name));
        let defect = match found {
            None => "is missing",
            Some(found) if !found.fires => "is disabled",
            // Checked first, because the definition shows the function's schema on some search paths only.
            Some(found) if functions.get(&*found.function) != Some(&(&*found.body, found.is_definer)) => {
                "calls an altered function"
            }
            Some(found) if normal(&found.definition) != definition => "is altered",
            Some(_) => return None,
        };
        Some(format!("{name} on {table} {defect}"))
    });
    Ok(defects.collect())
}

/// Returns table, name and normalized definition of every trigger.
fn triggers() -> impl Iterator<Item = (String, String, String)> {
    DEFINITION.split("\ncreate or replace trigger ").skip(1).filter_map(|rest| {
        let definition = normal(&format!("create trigger {}", rest.split(';').next()?));
        let name = definition.split(' ').nth(2)?.to_owned();
        let table = definition.split(" on ").nth(1)?.split(' ').next()?.to_owned();
        Some((table, name, definition))
    })
}

/// Maps every function's qualified name to its body and whether it is `security definer`.
fn functions() -> HashMap<&'static str, (&'static str, bool)> {
    let functions = DEFINITION.split("\ncreate or replace function ").skip(1);
    let read = functions.filter_map(|rest| {
        let mut parts = rest.split("$$");
        let (head, body) = (parts.next()?, parts.next()?);
        let name = head.split('(').next()?;
        Some((name, (body, head.contains(" security definer "))))
    });
    read.collect()
}

/// Normalizes a definition: PostgreSQL omits schemas on the search path, prints keywords in upper case, and quotes every
/// name under `quote_all_identifiers`.
fn normal(definition: &str) -> String {
    let words: Vec<_> = definition.split_whitespace().collect();
    words.join(" ").to_ascii_lowercase().replace('"', "").replace("chatchonk.", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migration_defines_five_version_triggers_per_table() {
        let all: Vec<_> = triggers().collect();
        for table in TABLES {
            let count =
                all.iter().filter(|(of, name, _)| of == table && name.contains("cache_version")).count();
            assert_eq!(count, 5, "{table}: {all:?}");
        }
        assert_eq!(all.len(), 25);
        assert_eq!(functions().len(), 4);
    }
}
