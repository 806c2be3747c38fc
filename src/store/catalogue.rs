//! Loading the whole catalogue.

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

/// The catalogue and the version of the scope `catalogue` that it belongs to.
#[derive(Debug)]
pub struct LoadedCatalogue {
    /// What was read.
    pub snapshot: Snapshot,
    /// Its version: equal version means equal data.
    pub version: u64,
    /// The rows that were left out, in words for the log.
    pub rejected: Vec<String>,
    /// The details that were left out of rows.
    pub ignored: IgnoredDetails,
}

impl Store {
    /// Reads the catalogue and its version in one statement, hence from one state of the database.
    ///
    /// Only an unreadable id, provider, name or kind costs the row, which is named in `rejected`. Any other value that
    /// cannot be read is left out and named in `ignored`.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails or takes longer than its 5 s, and when there is no provider, no model or no
    /// version: that is no catalogue.
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

    /// The fast way. The database computes every column of every row in the type that is expected here, so one value that
    /// has no such form fails the statement.
    async fn load_by_columns(&self) -> Result<LoadedCatalogue, StoreError> {
        // Models travel by their columns: PostgreSQL takes three times as long to write them as JSON. The small tables come
        // along as JSON, so that it stays one statement; nothing joins them with a model. The casts cost nothing while the
        // columns have the types of the migrations; the driver does not check the types of what it decodes.
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
        // Each is read while the database writes the next ones.
        while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
            let row = row?;
            if let (Some(part), Some(document)) = (row.part.as_deref(), row.document.as_deref()) {
                read.small(part, document, false);
            } else {
                let id = row.id.clone().unwrap_or_default();
                let model = row.model(&mut read.ignored);
                read.keep("model", &id, model, |parts| &mut parts.models);
            }
        }
        Ok(read.finish())
    }

    /// The slow way, for tables that hold what the fast one cannot read: columns of another type or none at all, and, in a
    /// database without an encoding, bytes that are not text. Every row comes as JSON, whatever its columns are.
    async fn load_row_by_row(&self) -> Result<LoadedCatalogue, StoreError> {
        let mut connection = self.pool()?.acquire().await?;
        match read_rows(&mut connection).await {
            // The server refuses to send bytes that have no form in UTF-8. As they are, they are read here.
            Err(error) if is_untranslatable(&error) => {
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
    // Not a checked query: the text is taken as bytes, and no column is named that the tables may lack.
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

/// What has been read so far.
#[derive(Default)]
struct Reading {
    version: u64,
    parts: Parts,
    /// The tasks of models that come as JSON, separated by spaces.
    served: HashMap<String, String>,
    rejected: Vec<String>,
    ignored: IgnoredDetails,
}

#[derive(Default)]
struct Parts {
    providers: Vec<Provider>,
    tasks: Vec<TaskType>,
    models: Vec<Model>,
}

impl Reading {
    /// Takes a row in. `is_lossy`: the replacement character stands for bytes that are not UTF-8.
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
                self.keep(part, &id, provider, |parts| &mut parts.providers);
            }
            "task" => {
                let task = row.task(&mut self.ignored);
                self.keep(part, &id, task, |parts| &mut parts.tasks);
            }
            "served" => {
                let (model, task) = row.served();
                let tasks = self.served.entry(model).or_default();
                tasks.push(' ');
                tasks.push_str(&task);
            }
            _ => {
                let model = row.model(self.served.remove(&id), &mut self.ignored);
                self.keep(part, &id, model, |parts| &mut parts.models);
            }
        }
    }

    fn keep<T>(
        &mut self,
        part: &str,
        id: &str,
        read: Result<T, Unreadable>,
        place: fn(&mut Parts) -> &mut Vec<T>,
    ) {
        match read {
            Ok(row) => place(&mut self.parts).push(row),
            Err(error) => self.rejected.push(shortened(&format!("{part} {id}: {error}"))),
        }
    }

    fn finish(self) -> LoadedCatalogue {
        let Self { version, parts: Parts { providers, tasks, models }, mut rejected, ignored, .. } = self;
        let left_out = LeftOut { rows: rejected.len(), details: ignored.count() };
        let (snapshot, inconsistent) = Snapshot::build(providers, tasks, models, left_out);
        rejected
            .extend(inconsistent.into_iter().map(|Rejected { id, reason }| format!("model {id}: {reason}")));
        // Rows come in the order of the table's file, which an edit changes.
        rejected.sort_unstable();
        LoadedCatalogue { snapshot, version, rejected, ignored }
    }
}

/// Whether the statement failed for what the tables hold, rather than for what the database or the connection is like.
fn is_about_a_value(error: &StoreError) -> bool {
    let StoreError::Database { source, .. } = error else { return false };
    match source {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => true,
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            // A value without such a form (class 22); a column that is not there; types that do not go together.
            code.starts_with("22")
                // Infinity has no form as an integer. A plan made for other columns has the same code: it is no value.
                || (code == "0A000" && routine(refusal.as_ref()) != Some("RevalidateCachedQuery"))
                || matches!(&*code, "42703" | "42804" | "42809" | "42846" | "42883" | "42725" | "42P18")
        }
        _ => false,
    }
}

/// The function in PostgreSQL's source that reports the error; messages are translated.
fn routine(refusal: &dyn sqlx::error::DatabaseError) -> Option<&str> {
    refusal.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine)
}

/// Whether a text has no form in the encoding of the connection.
fn is_untranslatable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("22021" | "22P05"))
}
