//! Loading the whole catalogue.

use crate::domain::provider::Provider;
use crate::domain::snapshot::{Rejected, Snapshot};
use crate::domain::task::TaskType;

use super::catalogue_row::CatalogueRow;
use super::{Store, StoreError};

/// The catalogue and the version of the scope `catalogue` that it belongs to.
#[derive(Debug)]
pub struct LoadedCatalogue {
    /// What was read.
    pub snapshot: Snapshot,
    /// Its version: equal version means equal data.
    pub version: u64,
    /// What was left out, in words for the log.
    pub rejected: Vec<String>,
}

impl Store {
    /// Reads the catalogue and its version in one statement, hence from one state of the database.
    ///
    /// A row that cannot be understood, written by hand or by a newer release, is left out and named in `rejected`.
    ///
    /// # Errors
    /// [`StoreError`] when the statement fails or takes longer than its 5 s, and when there is no provider, no model or no
    /// version: that is no catalogue.
    pub async fn load_catalogue(&self) -> Result<LoadedCatalogue, StoreError> {
        // Models travel by their columns: PostgreSQL takes three times as long to write them as JSON. The small tables come
        // along as JSON, so that it stays one statement; nothing joins them with a model.
        let mut rows = sqlx::query_as!(
            CatalogueRow,
            r#"
            select small.part as "part?", small.document as "document?",
                   m.id as "id?", m.provider as "provider?", m.provider_model_id as "provider_model_id?",
                   m.name as "name?", m.family, m.kind as "kind?", m.status as "status?", m.enabled as "enabled?",
                   m.release_date, m.knowledge_cutoff, m.deprecation_date, m.successor,
                   m.context_length, m.max_input_tokens, m.max_output_tokens, m.embedding_dimensions,
                   array_to_string(m.input_modalities, ' ') as input_modalities,
                   array_to_string(m.output_modalities, ' ') as output_modalities,
                   array_to_string(m.capabilities, ' ') as capabilities,
                   served.tasks, m.open_weights,
                   m.price_input::text, m.price_output::text, m.price_cache_read::text, m.price_cache_write::text,
                   m.price_per_query::text, m.price_tiers::text, m.price_off_peak::text,
                   m.is_free, m.price_source, m.as_of,
                   case when m.created_at between '0001-01-01Z' and '9999-12-31Z' then m.created_at end as created_at,
                   case when m.updated_at between '0001-01-01Z' and '9999-12-31Z' then m.updated_at end as updated_at
            from (
                select 'version' as part, version::text as document
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

        let mut version = 0;
        let (mut providers, mut tasks, mut models) = (Vec::new(), Vec::new(), Vec::new());
        let mut unreadable = Vec::new();
        // Each is read while the database writes the next ones.
        while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
            let row = row?;
            let (Some(part), Some(document)) = (row.part.as_deref(), row.document.as_deref()) else {
                let id = row.id.clone().unwrap_or_default();
                match row.model() {
                    Ok(model) => models.push(model),
                    Err(reason) => unreadable.push(format!("model {id}: {reason}")),
                }
                continue;
            };
            let read = match part {
                "version" => read(document).map(|number| version = number),
                "provider" => read::<Provider>(document).map(|provider| providers.push(provider)),
                _ => read::<TaskType>(document).map(|task| tasks.push(task)),
            };
            if let Err(reason) = read {
                unreadable.push(format!("{part} {}: {reason}", id_of(document)));
            }
        }
        let (snapshot, inconsistent) = Snapshot::build(providers, tasks, models, unreadable.len());
        let mut rejected = unreadable;
        rejected
            .extend(inconsistent.into_iter().map(|Rejected { id, reason }| format!("model {id}: {reason}")));
        self.usable(LoadedCatalogue { snapshot, version, rejected }).await
    }
}

fn read<'a, T: serde::Deserialize<'a>>(document: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(document)
}

fn id_of(document: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Identified {
        id: String,
    }
    read::<Identified>(document).map_or_else(|_| "without an id".to_owned(), |row| row.id)
}
