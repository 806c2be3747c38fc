//! The database role's privileges, for `check`.

use super::{Store, StoreError};

/// The tables that the server writes to share Cloudflare KV with other instances.
const LEDGER: [&str; 2] = ["kv_keys", "kv_budget"];
/// The tables that the migrations create.
const TABLES: [&str; 10] = [
    "_sqlx_migrations",
    "cache_version",
    "kv_budget",
    "kv_keys",
    "model_tasks",
    "models",
    "providers",
    "quarantined_values",
    "seed_state",
    "task_types",
];

/// Privileges of the role in `DATABASE_URL`.
#[derive(Debug, Clone)]
pub struct Rights {
    /// The name of the role.
    pub role: String,
    /// Whether it may create schemas, which migrations need.
    pub creates: bool,
    tables: Vec<TableRights>,
}

#[expect(clippy::struct_excessive_bools, reason = "one per right, as PostgreSQL answers them")]
#[derive(Debug, Clone)]
struct TableRights {
    name: String,
    owner: String,
    is_owner: bool,
    reads: bool,
    writes: bool,
    is_restricted: bool,
    has_policy: bool,
}

impl Rights {
    /// Names the tables that the role may not read.
    pub fn unreadable(&self) -> Vec<&str> {
        self.named(|table| !table.reads)
    }

    /// Names the tables of the KV ledger that the role may not write.
    pub fn unwritable_ledger(&self) -> Vec<&str> {
        self.named(|table| LEDGER.contains(&table.name.as_str()) && !table.writes)
    }

    /// Names the tables on which row-level security applies to the role.
    pub fn restricted(&self) -> Vec<&str> {
        self.named(|table| table.is_restricted)
    }

    /// Names the tables whose rows are all hidden, because row-level security applies and no policy exists. Includes the KV
    /// ledger only if `has_kv`.
    pub fn closed(&self, has_kv: bool) -> Vec<&str> {
        self.named(|table| {
            table.is_restricted && !table.has_policy && (has_kv || !LEDGER.contains(&table.name.as_str()))
        })
    }

    /// Names the tables that are missing or replaced by a view.
    pub fn missing(&self) -> Vec<&str> {
        let is_missing = |name: &&str| !self.tables.iter().any(|table| table.name == *name);
        TABLES.into_iter().filter(is_missing).collect()
    }

    /// Returns another role that owns one of the tables.
    pub fn other_owner(&self) -> Option<&str> {
        self.tables.iter().find(|table| !table.is_owner).map(|table| table.owner.as_str())
    }

    /// Whether any table exists.
    pub fn has_tables(&self) -> bool {
        !self.tables.is_empty()
    }

    fn named(&self, wanted: impl Fn(&TableRights) -> bool) -> Vec<&str> {
        self.tables.iter().filter(|table| wanted(table)).map(|table| table.name.as_str()).collect()
    }
}

impl Store {
    /// Reads the current role's rights from the system catalogs, which every role may read.
    ///
    /// # Errors
    /// [`StoreError`] when a statement fails.
    pub async fn rights(&self) -> Result<Rights, StoreError> {
        let role = sqlx::query!(
            r#"select current_user::text as "name!",
                      has_database_privilege(current_database(), 'create') as "creates!""#
        )
        .fetch_one(self.pool()?)
        .await?;
        let tables = sqlx::query_as!(
            TableRights,
            r#"
            select c.relname::text as "name!", pg_get_userbyid(c.relowner)::text as "owner!",
                   pg_has_role(c.relowner, 'usage') as "is_owner!",
                   has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as "reads!",
                   has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update')
                       and has_table_privilege(c.oid, 'delete') as "writes!",
                   row_security_active(c.oid) as "is_restricted!",
                   exists (select from pg_policy where polrelid = c.oid) as "has_policy!"
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'chatchonk' and c.relkind in ('r', 'p')
            order by c.relname
            "#
        )
        .fetch_all(self.pool()?)
        .await?;
        Ok(Rights { role: role.name, creates: role.creates, tables })
    }
}
