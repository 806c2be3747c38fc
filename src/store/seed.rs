//! Writes the seed into the database.

use serde_json::Value;
use sqlx::postgres::PgConnection;

use crate::domain::seed::Seed;

use super::{Store, StoreError};

/// Treatment of edited rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedMode {
    /// Insert missing rows and update unedited ones, if the seed is newer than the last one applied.
    Newer,
    /// The same for any seed, for tables that were emptied.
    Again,
    /// Write every row of the seed.
    Overwrite,
}

/// Result of applying the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedReport {
    /// Applied.
    Applied {
        /// The version replaced, if any.
        from: Option<i32>,
        /// The new version.
        to: i32,
    },
    /// The database already had this seed or a newer one.
    UpToDate {
        /// Its version.
        version: i32,
    },
}

impl Store {
    /// Applies the seed in one transaction. Never touches `enabled` or rows outside the seed. If two instances start together,
    /// only one writes.
    ///
    /// # Errors
    /// [`StoreError`] when a statement fails; then nothing has changed.
    pub async fn apply_seed(&self, seed: &Seed, mode: SeedMode) -> Result<SeedReport, StoreError> {
        let overwrite = mode == SeedMode::Overwrite;
        // Without work to do, nothing is locked or written, so this succeeds on a read-only database.
        let applied =
            sqlx::query_scalar!(r#"select version::integer as "version!" from chatchonk.seed_state"#)
                .fetch_optional(self.pool()?)
                .await?;
        let current = |version: i32| mode == SeedMode::Newer && version >= seed.version;
        if let Some(version) = applied.filter(|version| current(*version)) {
            return Ok(SeedReport::UpToDate { version });
        }
        let mut transaction = self.pool()?.begin().await?;
        // The triggers then do not mark the rows as edited.
        sqlx::query!("select set_config('chatchonk.seeding', 'on', true)")
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query!("insert into chatchonk.seed_state (version) values (0) on conflict do nothing")
            .execute(&mut *transaction)
            .await?;
        let held = sqlx::query_scalar!(
            r#"select version::integer as "version!" from chatchonk.seed_state for update"#
        )
        .fetch_one(&mut *transaction)
        .await?;
        if current(held) {
            return Ok(SeedReport::UpToDate { version: held });
        }

        let models = serde_json::to_value(&seed.models)?;
        write_providers(&mut transaction, serde_json::to_value(&seed.providers)?, overwrite).await?;
        write_tasks(&mut transaction, serde_json::to_value(&seed.tasks)?, overwrite).await?;
        let written = write_models(&mut transaction, &models, overwrite).await?;
        write_model_tasks(&mut transaction, &models, &written).await?;
        sqlx::query!("update chatchonk.seed_state set version = $1, applied_at = now()", seed.version)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(SeedReport::Applied { from: (held > 0).then_some(held), to: seed.version })
    }
}

type Outcome<T> = Result<T, sqlx::Error>;

async fn write_providers(connection: &mut PgConnection, providers: Value, overwrite: bool) -> Outcome<()> {
    sqlx::query!(
            r#"
            insert into chatchonk.providers as held
                (id, name, base_url, openai_compatible_base_url, docs_url, models_list_url, models_list_needs_key,
                 auth_header, auth_scheme, extra_headers, env, edited)
            select d->>'id', d->>'name', d->>'base_url', d->>'openai_compatible_base_url', d->>'docs_url',
                   d->>'models_list_url', (d->>'models_list_needs_key')::boolean, d->>'auth_header', d->>'auth_scheme',
                   d->'extra_headers', array(select jsonb_array_elements_text(d->'env')), false
            from jsonb_array_elements($1::jsonb) as document(d)
            on conflict (id) do update set
                name = excluded.name, base_url = excluded.base_url,
                openai_compatible_base_url = excluded.openai_compatible_base_url, docs_url = excluded.docs_url,
                models_list_url = excluded.models_list_url, models_list_needs_key = excluded.models_list_needs_key,
                auth_header = excluded.auth_header, auth_scheme = excluded.auth_scheme,
                extra_headers = excluded.extra_headers, env = excluded.env, edited = false
            where not held.edited or $2
            "#,
            providers,
            overwrite
        )
        .execute(connection)
        .await
        .map(drop)
}

async fn write_tasks(connection: &mut PgConnection, tasks: Value, overwrite: bool) -> Outcome<()> {
    sqlx::query!(
        r#"
            insert into chatchonk.task_types as held (id, name, description, edited)
            select d->>'id', d->>'name', d->>'description', false
            from jsonb_array_elements($1::jsonb) as document(d)
            on conflict (id) do update set
                name = excluded.name, description = excluded.description, edited = false
            where not held.edited or $2
            "#,
        tasks,
        overwrite
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the ids of the models that were written.
async fn write_models(
    connection: &mut PgConnection,
    models: &Value,
    overwrite: bool,
) -> Outcome<Vec<String>> {
    sqlx::query_scalar!(
            r#"
            insert into chatchonk.models as held
                (id, provider, provider_model_id, name, family, kind, status, release_date, knowledge_cutoff,
                 deprecation_date, successor, context_length, max_input_tokens, max_output_tokens,
                 embedding_dimensions, input_modalities, output_modalities, capabilities, open_weights,
                 price_input, price_output, price_cache_read, price_cache_write, price_per_query,
                 price_tiers, price_off_peak, is_free, price_source, as_of, edited)
            select d->>'id', d->>'provider', d->>'provider_model_id', d->>'name', d->>'family', d->>'kind',
                   d->>'status', d->>'release_date', d->>'knowledge_cutoff', d->>'deprecation_date', d->>'successor',
                   (d->>'context_length')::integer, (d->>'max_input_tokens')::integer,
                   (d->>'max_output_tokens')::integer, (d->>'embedding_dimensions')::integer,
                   array(select jsonb_array_elements_text(d->'input_modalities')),
                   array(select jsonb_array_elements_text(d->'output_modalities')),
                   array(select jsonb_array_elements_text(d->'capabilities')),
                   (d->>'open_weights')::boolean,
                   (d->'pricing'->>'input')::numeric, (d->'pricing'->>'output')::numeric,
                   (d->'pricing'->>'cache_read')::numeric, (d->'pricing'->>'cache_write')::numeric,
                   (d->'pricing'->>'per_query')::numeric, coalesce(d->'pricing'->'tiers', '[]'),
                   nullif(d->'pricing'->'off_peak', 'null'), (d->>'is_free')::boolean, d->>'price_source',
                   d->>'as_of', false
            from jsonb_array_elements($1::jsonb) as document(d)
            on conflict (id) do update set
                provider = excluded.provider, provider_model_id = excluded.provider_model_id, name = excluded.name,
                family = excluded.family, kind = excluded.kind, status = excluded.status,
                release_date = excluded.release_date, knowledge_cutoff = excluded.knowledge_cutoff,
                deprecation_date = excluded.deprecation_date, successor = excluded.successor,
                context_length = excluded.context_length, max_input_tokens = excluded.max_input_tokens,
                max_output_tokens = excluded.max_output_tokens, embedding_dimensions = excluded.embedding_dimensions,
                input_modalities = excluded.input_modalities, output_modalities = excluded.output_modalities,
                capabilities = excluded.capabilities, open_weights = excluded.open_weights,
                price_input = excluded.price_input, price_output = excluded.price_output,
                price_cache_read = excluded.price_cache_read, price_cache_write = excluded.price_cache_write,
                price_per_query = excluded.price_per_query, price_tiers = excluded.price_tiers,
                price_off_peak = excluded.price_off_peak, is_free = excluded.is_free,
                price_source = excluded.price_source, as_of = excluded.as_of, edited = false
            where not held.edited or $2
            returning held.id
            "#,
            models,
            overwrite
        )
        .fetch_all(connection)
        .await
}

/// Gives the written models exactly the seed's tasks.
async fn write_model_tasks(connection: &mut PgConnection, models: &Value, written: &[String]) -> Outcome<()> {
    sqlx::query!(
            r#"
            with wanted as (
                select d->>'id' as model_id, task as task_id
                from jsonb_array_elements($1::jsonb) as document(d), jsonb_array_elements_text(d->'tasks') as task
                where d->>'id' = any($2)
            ), obsolete as (
                delete from chatchonk.model_tasks held
                where model_id = any($2)
                    and not exists (select from wanted where (wanted.model_id, wanted.task_id) = (held.model_id, held.task_id))
            )
            insert into chatchonk.model_tasks (model_id, task_id)
            select model_id, task_id from wanted
            on conflict do nothing
            "#,
            models,
            written
        )
        .execute(connection)
        .await
        .map(drop)
}
