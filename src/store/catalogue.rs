//! Loading the whole catalogue.

use crate::domain::model::Model;
use crate::domain::provider::Provider;
use crate::domain::snapshot::{Rejected, Snapshot};
use crate::domain::task::TaskType;

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
    /// [`StoreError`] when the statement fails or takes longer than its 5 s.
    pub async fn load_catalogue(&self) -> Result<LoadedCatalogue, StoreError> {
        // Each row travels as one JSON document in the stored form of `domain`, prices as text so that they stay exact.
        let rows = sqlx::query!(
            r#"
            select 'version' as "part!", version::text as "document!"
            from chatchonk.cache_version where scope = 'catalogue'
            union all
            select 'provider', to_jsonb(p)::text from chatchonk.providers p
            union all
            select 'task', to_jsonb(t)::text from chatchonk.task_types t
            union all
            select 'model', (
                to_jsonb(m) || jsonb_build_object(
                    'tasks', coalesce(served.tasks, '[]'::jsonb),
                    'pricing', case
                        when num_nonnulls(price_input, price_output, price_cache_read, price_cache_write,
                                          price_per_query, price_off_peak) > 0 or price_tiers <> '[]'
                        then jsonb_build_object(
                            'input', price_input::text, 'output', price_output::text,
                            'cache_read', price_cache_read::text, 'cache_write', price_cache_write::text,
                            'per_query', price_per_query::text, 'tiers', price_tiers, 'off_peak', price_off_peak)
                    end))::text
            from chatchonk.models m
            left join (
                select model_id, jsonb_agg(task_id order by task_id) as tasks
                from chatchonk.model_tasks group by model_id
            ) served on served.model_id = m.id
            "#
        )
        .fetch_all(self.pool()?)
        .await?;

        let mut version = 0;
        let (mut providers, mut tasks, mut models) = (Vec::new(), Vec::new(), Vec::new());
        let mut unreadable = Vec::new();
        for row in &rows {
            let read = match row.part.as_str() {
                "version" => read(&row.document).map(|number| version = number),
                "provider" => read::<Provider>(&row.document).map(|provider| providers.push(provider)),
                "task" => read::<TaskType>(&row.document).map(|task| tasks.push(task)),
                _ => read::<Model>(&row.document).map(|model| models.push(model)),
            };
            if let Err(reason) = read {
                unreadable.push(format!("{} {}: {reason}", row.part, id_of(&row.document)));
            }
        }
        let (snapshot, inconsistent) = Snapshot::build(providers, tasks, models, unreadable.len());
        let mut rejected = unreadable;
        rejected
            .extend(inconsistent.into_iter().map(|Rejected { id, reason }| format!("model {id}: {reason}")));
        Ok(LoadedCatalogue { snapshot, version, rejected })
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
