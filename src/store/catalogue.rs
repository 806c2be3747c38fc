//! Loads the whole catalogue.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Connection, Row};

use crate::domain::model::Model;
use crate::domain::provider::Provider;
use crate::domain::snapshot::{LeftOut, Rejected, Snapshot};
use crate::domain::task::TaskType;

use super::catalogue_json::JsonRow;
use super::catalogue_row::{CatalogueRow, Unreadable};
use super::detail::{IgnoredDetails, shortened};
use super::{Store, StoreError};

/// A catalogue with its version.
#[derive(Debug)]
pub struct LoadedCatalogue {
    /// The catalogue.
    pub snapshot: Snapshot,
    /// Version of the scope `catalogue`: equal version means equal data.
    pub version: u64,
    /// Rejected rows, described for the log.
    pub rejected: Vec<String>,
    /// Values that were left out of rows.
    pub ignored: IgnoredDetails,
}

impl Store {
    /// Reads the catalogue and its version from one state of the database.
    ///
    /// A row is left out, and described in `rejected`, only if its id, provider, name or kind is unreadable. Any other
    /// unreadable value is left out and recorded in `ignored`.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails or exceeds its 5 s, or when there is no provider, no model or no version.
    pub async fn load_catalogue(&self) -> Result<LoadedCatalogue, StoreError> {
        let loaded = match self.load_by_columns().await {
            Err(error) if is_about_a_value(&error) => {
                tracing::debug!(%error, "reading the catalogue row by row");
                self.load_row_by_row().await?
            }
            loaded => loaded?,
        };
        self.usable(loaded).await
    }

    /// Loads fast, with columns cast to the expected types, so one value that does not convert fails the statement.
    async fn load_by_columns(&self) -> Result<LoadedCatalogue, StoreError> {
        // Models come as columns, because PostgreSQL takes three times as long to write them as JSON. The small tables
        // come as JSON in the same statement; nothing joins them with a model. The casts are free while the columns have
        // the types of the migrations; the driver does not check the types it decodes.
        let mut rows = sqlx::query_as!(
            CatalogueRow,
            r#"
            select small.part as "part?", small.document as "document?",
                   m.id::text as "id?", m.provider::text as "provider?", m.provider_model_id::text, m.name::text,
                   m.family::text, m.kind::text, m.status::text, m.enabled::boolean,
                   m.release_date::text, m.knowledge_cutoff::text, m.deprecation_date::text, m.successor::text,
                   m.context_length::bigint, m.max_input_tokens::bigint, m.max_output_tokens::bigint,
                   m.embedding_dimensions::bigint,
                   array_to_string(m.input_modalities, ' ') as input_modalities,
                   array_to_string(m.output_modalities, ' ') as output_modalities,
                   array_to_string(m.capabilities, ' ') as capabilities,
                   served.tasks, m.open_weights::boolean,
                   m.price_input::text, m.price_output::text, m.price_cache_read::text, m.price_cache_write::text,
                   m.price_per_query::text, m.price_tiers::text, m.price_off_peak::text,
                   m.is_free::boolean, m.price_source::text, m.as_of::text,
                   case when m.created_at::timestamptz between '0001-01-01Z' and '9999-12-31Z'
                       then m.created_at::timestamptz end as created_at,
                   case when m.updated_at::timestamptz between '0001-01-01Z' and '9999-12-31Z'
                       then m.updated_at::timestamptz end as updated_at
            from (
                select 'version' as part, version::bigint::text as document
                from chatchonk.cache_version where scope = 'catalogue'
                union all
                select 'provider', to_json(p)::text from chatchonk.providers p
                union all
                select 'task', to_json(t)::text from chatchonk.task_types t
            ) small
            full join chatchonk.models m on false
            left join (
                select model_id, string_agg(task_id, ' ') as tasks from chatchonk.model_tasks group by model_id
            ) served on served.model_id = m.id
            "#
        )
        .fetch(self.pool()?);

        let mut read = Reading::default();
        // Each row is read while the database writes the next ones.
        while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
            let row = row?;
            if let (Some(part), Some(document)) = (row.part.as_deref(), row.document.as_deref()) {
                read.small(part, document, false);
            } else {
                let id = row.id.clone().unwrap_or_default();
                let model = row.model(&mut read.ignored);
                keep(&mut read.models, &mut read.rejected, "model", &id, model);
            }
        }
        Ok(read.finish())
    }

    /// Loads every row as JSON: slower, but works for columns of other types, missing columns and, without an encoding, bytes
    /// that are not text.
    async fn load_row_by_row(&self) -> Result<LoadedCatalogue, StoreError> {
        let mut connection = self.pool()?.acquire().await?;
        match read_rows(&mut connection).await {
            // The server refuses to convert some bytes to UTF-8, so they are requested as they are.
            Err(sqlx::Error::Database(refusal))
                if matches!(refusal.code().as_deref(), Some("22021" | "22P05")) =>
            {
                let mut transaction = connection.begin().await?;
                sqlx::raw_sql("set local client_encoding = 'SQL_ASCII'").execute(&mut *transaction).await?;
                let loaded = read_rows(&mut transaction).await?;
                transaction.commit().await?;
                Ok(loaded)
            }
            loaded => Ok(loaded?),
        }
    }
}

async fn read_rows(connection: &mut PgConnection) -> Result<LoadedCatalogue, sqlx::Error> {
    // Not a checked query: it reads text as bytes and names no column that may be missing.
    let mut rows = sqlx::query(
        "select part, document
         from (
             select 1 as place, 'version' as part, version::bigint::text as document
             from chatchonk.cache_version where scope = 'catalogue'
             union all select 2, 'provider', to_json(p)::text from chatchonk.providers p
             union all select 3, 'task', to_json(t)::text from chatchonk.task_types t
             union all select 4, 'served', to_json(s)::text from chatchonk.model_tasks s
             union all select 5, 'model', to_json(m)::text from chatchonk.models m
         ) as everything
         order by place",
    )
    .fetch(connection);
    let mut read = Reading::default();
    while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
        let row = row?;
        let text = |column: usize| {
            let bytes = row.try_get_raw(column)?.as_bytes().map_err(sqlx::Error::Decode)?;
            Ok::<_, sqlx::Error>(String::from_utf8_lossy(bytes))
        };
        let (part, document) = (text(0)?, text(1)?);
        read.small(&part, &document, matches!(document, std::borrow::Cow::Owned(_)));
    }
    Ok(read.finish())
}

/// The rows read so far.
#[derive(Default)]
struct Reading {
    version: u64,
    providers: Vec<Provider>,
    tasks: Vec<TaskType>,
    models: Vec<Model>,
    /// Tasks of models that come as JSON, separated by spaces.
    served: HashMap<String, String>,
    rejected: Vec<String>,
    ignored: IgnoredDetails,
}

impl Reading {
    /// Reads a JSON row. If `is_lossy`, replacement characters stand for bytes that are not UTF-8.
    fn small(&mut self, part: &str, document: &str, is_lossy: bool) {
        if part == "version" {
            match document.parse() {
                Ok(version) => self.version = version,
                Err(error) => self.rejected.push(format!("version: {error}")),
            }
            return;
        }
        let row = match JsonRow::read(document, is_lossy) {
            Ok(row) => row,
            Err(error) => return self.rejected.push(format!("{part}: {error}")),
        };
        let id = row.label();
        match part {
            "provider" => {
                let provider = row.provider(&mut self.ignored);
                keep(&mut self.providers, &mut self.rejected, part, &id, provider);
            }
            "task" => {
                let task = row.task(&mut self.ignored);
                keep(&mut self.tasks, &mut self.rejected, part, &id, task);
            }
            "served" => {
                let (model, task) = row.served();
                let tasks = self.served.entry(model).or_default();
                tasks.push(' ');
                tasks.push_str(&task);
            }
            _ => {
                let model = row.model(self.served.remove(&id), &mut self.ignored);
                keep(&mut self.models, &mut self.rejected, part, &id, model);
            }
        }
    }

    fn finish(self) -> LoadedCatalogue {
        let Self { version, providers, tasks, models, mut rejected, ignored, .. } = self;
        let left_out = LeftOut { rows: rejected.len(), details: ignored.count() };
        let (snapshot, inconsistent) = Snapshot::build(providers, tasks, models, left_out);
        rejected
            .extend(inconsistent.into_iter().map(|Rejected { id, reason }| format!("model {id}: {reason}")));
        // Rows come in table order, which edits change.
        rejected.sort_unstable();
        LoadedCatalogue { snapshot, version, rejected, ignored }
    }
}

fn keep<T>(rows: &mut Vec<T>, rejected: &mut Vec<String>, part: &str, id: &str, read: Result<T, Unreadable>) {
    match read {
        Ok(row) => rows.push(row),
        Err(error) => rejected.push(shortened(&format!("{part} {id}: {error}"))),
    }
}

/// Whether the statement failed because of the tables' contents.
fn is_about_a_value(error: &StoreError) -> bool {
    let StoreError::Database { source, .. } = error else { return false };
    match source {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => true,
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            // The function in PostgreSQL's source that reports the error, because messages are translated.
            let routine = refusal.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
            // A value that does not convert (class 22), a missing column, or incompatible types.
            code.starts_with("22")
                // Infinity does not convert to an integer. A plan made for other columns has the same code.
                || (code == "0A000" && routine != Some("RevalidateCachedQuery"))
                || matches!(&*code, "42703" | "42804" | "42809" | "42846" | "42883" | "42725" | "42P18")
        }
        _ => false,
    }
}
