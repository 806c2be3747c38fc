//! The effect of a new seed on a database with edits.

use chatchonk::domain::seed::Seed;
use chatchonk::store::{DatabaseSettings, SeedMode, SeedReport, Store};
use sqlx::PgPool;

use crate::support::postgres::{TestDatabase, database};

const EDITED: &str = "openai/gpt-6-astra";
const RETASKED: &str = "openai/gpt-6-sol";
const HIDDEN: &str = "openai/gpt-6-luna";
const UNTOUCHED: &str = "cohere/rerank-v3.5";

/// All rows of the four tables, without their timestamps.
const ROWS: &str = "select jsonb_build_object(
    'models', (select jsonb_object_agg(id, to_jsonb(m) - 'created_at' - 'updated_at') from chatchonk.models m),
    'providers', (select jsonb_object_agg(id, to_jsonb(p) - 'created_at' - 'updated_at') from chatchonk.providers p),
    'task_types', (select jsonb_object_agg(id, to_jsonb(t) - 'updated_at') from chatchonk.task_types t),
    'tasks', (select jsonb_object_agg(model_id, tasks) from (
        select model_id, jsonb_agg(task_id order by task_id) as tasks from chatchonk.model_tasks group by 1) g))";

struct Seeded {
    store: Store,
    pool: PgPool,
    seed: Seed,
}

impl Seeded {
    async fn on(database: &TestDatabase) -> Self {
        let store = Store::new(DatabaseSettings::from_options(database.options(), 2));
        let seed = Seed::builtin().unwrap();
        let report = store.apply_seed(&seed, SeedMode::Newer).await.unwrap();
        assert_eq!(report, SeedReport::Applied { from: None, to: seed.version });
        Self { store, pool: database.pool().await, seed }
    }

    /// Returns a newer seed that differs in every row.
    fn newer(&self) -> Seed {
        let mut newer = self.seed.clone();
        newer.version += 1;
        for model in &mut newer.models {
            model.name.push_str(" II");
            model.tasks = vec!["chat".parse().unwrap()];
        }
        for provider in &mut newer.providers {
            provider.name.push_str(" II");
        }
        for task in &mut newer.tasks {
            task.name.push_str(" II");
        }
        newer
    }

    async fn apply(&self, seed: &Seed, mode: SeedMode) -> SeedReport {
        self.store.apply_seed(seed, mode).await.unwrap()
    }

    async fn run(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    async fn rows(&self) -> serde_json::Value {
        sqlx::query_scalar(ROWS).fetch_one(&self.pool).await.unwrap()
    }

    async fn revision(&self) -> i64 {
        let revision = "select version from chatchonk.cache_version where scope = 'catalogue'";
        sqlx::query_scalar(revision).fetch_one(&self.pool).await.unwrap()
    }

    /// Makes typical manual changes: edits rows of each table, hides others, and adds its own.
    async fn work_on_it(&self) {
        self.run(
            "update chatchonk.models set name = 'Mine', price_input = 7 where id = 'openai/gpt-6-astra'; \
             delete from chatchonk.model_tasks where model_id = 'openai/gpt-6-sol' and task_id = 'chat'; \
             update chatchonk.models set enabled = false where id = 'openai/gpt-6-luna'; \
             update chatchonk.providers set base_url = 'https://mine.example' where id = 'cohere'; \
             update chatchonk.providers set enabled = false where id = 'xai'; \
             update chatchonk.task_types set description = 'Mine' where id = 'planning'; \
             insert into chatchonk.providers (id, name, base_url) values ('own', 'Own', 'https://own.example'); \
             insert into chatchonk.models (id, provider, provider_model_id, name, kind) \
                 values ('own/model', 'own', 'model', 'Own', 'chat'); \
             insert into chatchonk.model_tasks (model_id, task_id) values ('own/model', 'translation')",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_the_seed_twice_changes_nothing() {
    let database = database().await;
    let seeded = Seeded::on(&database).await;
    let (rows, revision) = (seeded.rows().await, seeded.revision().await);
    for table in ["models", "providers", "task_types"] {
        let all = rows[table].as_object().unwrap();
        assert!(all.values().all(|row| row["edited"] == false), "{table} has rows that count as edited");
    }
    let report = seeded.apply(&seeded.seed, SeedMode::Newer).await;
    assert_eq!(report, SeedReport::UpToDate { version: seeded.seed.version });
    let older = Seed { version: seeded.seed.version - 1, ..seeded.newer() };
    assert_eq!(seeded.apply(&older, SeedMode::Newer).await, report);
    assert_eq!((seeded.rows().await, seeded.revision().await), (rows.clone(), revision));
    let report = seeded.apply(&seeded.seed, SeedMode::Overwrite).await;
    assert_eq!(report, SeedReport::Applied { from: Some(seeded.seed.version), to: seeded.seed.version });
    assert_eq!(seeded.rows().await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_seed_updates_only_unedited_rows() {
    let database = database().await;
    let seeded = Seeded::on(&database).await;
    seeded.work_on_it().await;
    let (before, revision) = (seeded.rows().await, seeded.revision().await);
    let newer = seeded.newer();
    let report = seeded.apply(&newer, SeedMode::Newer).await;
    assert_eq!(report, SeedReport::Applied { from: Some(seeded.seed.version), to: newer.version });
    let after = seeded.rows().await;
    for id in [EDITED, RETASKED, "own/model"] {
        assert_eq!(after["models"][id], before["models"][id], "{id}");
        assert_eq!(after["tasks"][id], before["tasks"][id], "{id}");
        assert_eq!(after["models"][id]["edited"], true, "{id}");
    }
    assert_eq!(after["models"][EDITED]["name"], "Mine");
    for (table, edited) in [("providers", "cohere"), ("providers", "own"), ("task_types", "planning")] {
        assert_eq!(after[table][edited], before[table][edited], "{table} {edited}");
    }
    let own = [EDITED, RETASKED, "own/model"];
    for (id, row) in after["models"].as_object().unwrap().iter().filter(|(id, _)| !own.contains(&id.as_str()))
    {
        assert!(row["name"].as_str().unwrap().ends_with(" II"), "{id}");
        assert_eq!(
            (&row["edited"], &after["tasks"][id]),
            (&false.into(), &serde_json::json!(["chat"])),
            "{id}"
        );
        assert_eq!(row["enabled"], id != HIDDEN, "{id}");
    }
    assert_eq!(after["providers"]["xai"]["name"].as_str().unwrap(), "xAI II");
    assert_eq!(after["providers"]["xai"]["enabled"], false);
    assert!(after["task_types"]["chat"]["name"].as_str().unwrap().ends_with(" II"));
    assert!(seeded.revision().await > revision, "caches must see it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_seed_restores_missing_rows_and_deletes_none() {
    let database = database().await;
    let seeded = Seeded::on(&database).await;
    seeded.run("delete from chatchonk.models where id = 'cohere/rerank-v3.5'").await;
    let mut newer = seeded.newer();
    newer.models.retain(|model| model.id.as_str() != EDITED);
    let mut added = newer.models[0].clone();
    added.id = "openai/brand-new".parse().unwrap();
    newer.models.push(added);
    assert!(matches!(seeded.apply(&newer, SeedMode::Newer).await, SeedReport::Applied { .. }));
    let rows = seeded.rows().await;
    for id in [UNTOUCHED, "openai/brand-new"] {
        assert_eq!(
            (&rows["models"][id]["edited"], &rows["models"][id]["enabled"]),
            (&false.into(), &true.into())
        );
        assert_eq!(rows["tasks"][id], serde_json::json!(["chat"]));
    }
    assert!(rows["models"][EDITED].is_object(), "a row missing from the seed was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn overwriting_resets_edits_but_not_hidden_or_added_rows() {
    let database = database().await;
    let seeded = Seeded::on(&database).await;
    let fresh = seeded.rows().await;
    seeded.work_on_it().await;
    let worked = seeded.rows().await;
    let report = seeded.apply(&seeded.seed, SeedMode::Overwrite).await;
    assert_eq!(report, SeedReport::Applied { from: Some(seeded.seed.version), to: seeded.seed.version });
    let mut wanted = fresh.clone();
    wanted["models"][HIDDEN]["enabled"] = false.into();
    wanted["providers"]["xai"]["enabled"] = false.into();
    for (table, id) in [("models", "own/model"), ("tasks", "own/model"), ("providers", "own")] {
        wanted[table][id] = worked[table][id].clone();
    }
    assert_eq!(seeded.rows().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_start_together_seed_once() {
    let database = database().await;
    let seed = Seed::builtin().unwrap();
    let store = || Store::new(DatabaseSettings::from_options(database.options(), 1));
    let (one, other) = (store(), store());
    let (one, other) =
        tokio::join!(one.apply_seed(&seed, SeedMode::Newer), other.apply_seed(&seed, SeedMode::Newer));
    let mut reports = [one.unwrap(), other.unwrap()];
    reports.sort_by_key(|report| matches!(report, SeedReport::UpToDate { .. }));
    let version = seed.version;
    assert_eq!(reports, [SeedReport::Applied { from: None, to: version }, SeedReport::UpToDate { version }]);
}

#[tokio::test]
async fn manual_changes_of_tasks_are_edits_of_their_models() {
    let seeded = Seeded::on(&database().await).await;
    let edited = |pool: PgPool| async move {
        let edited = sqlx::query_scalar("select id from chatchonk.models where edited order by id");
        edited.fetch_all(&pool).await.unwrap()
    };
    seeded
        .run(
            "delete from chatchonk.model_tasks where model_id = 'openai/gpt-6-sol' and task_id = 'planning';
             update chatchonk.models set edited = false;
             update chatchonk.model_tasks set model_id = 'openai/gpt-6-sol'
             where model_id = 'openai/gpt-6-luna' and task_id = 'planning'",
        )
        .await;
    let moved: Vec<String> = edited(seeded.pool.clone()).await;
    assert_eq!(moved, ["openai/gpt-6-luna", "openai/gpt-6-sol"]);
    seeded.run("truncate chatchonk.model_tasks").await;
    let all: Vec<String> = edited(seeded.pool.clone()).await;
    assert_eq!(all.len(), seeded.seed.models.len());
}
