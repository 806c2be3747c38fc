//! Values that a migration removed from their columns because no release can read them.

use std::fmt;

use super::{Store, StoreError};

/// A quarantined value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedValue {
    /// Primary key in `quarantined_values`.
    pub id: i64,
    /// Its table, without the schema.
    pub table: String,
    /// The id of its row.
    pub row: String,
    /// Its column.
    pub column: String,
    /// The first 100 characters.
    pub value: String,
    /// Why it cannot be read.
    pub reason: String,
}

impl fmt::Display for QuarantinedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, row, column, value, reason, .. } = self;
        write!(f, "{table} {row}: {column} was `{value}`: {reason}")
    }
}

impl Store {
    /// Returns the oldest 100 values in quarantine.
    ///
    /// # Errors
    /// [`StoreError`] on failure.
    pub async fn quarantined_values(&self) -> Result<Vec<QuarantinedValue>, StoreError> {
        let values = sqlx::query_as!(
            QuarantinedValue,
            r#"select id, table_name as "table", row_id as "row", column_name as "column",
                      left(value, 100) as "value!", reason
               from chatchonk.quarantined_values order by id limit 100"#
        )
        .fetch_all(self.pool()?)
        .await?;
        Ok(values)
    }
}
