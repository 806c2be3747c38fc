//! A cache and a catalogue whose values are fresh in memory.

use std::sync::Arc;

use chatchonk::cache::{CATALOGUE, Cache, LoadError, Loaded, Origin, ScopeName, Scopes};
use chatchonk::catalogue::Catalogue;
use chatchonk::clock::Clock;
use chatchonk::domain::seed::Seed;
use chatchonk::status::{DatabaseKind, Status};
use chatchonk::store::Store;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

/// An origin with one value that never changes.
pub struct Fixed;

impl Origin for Fixed {
    type Key = String;
    type Value = u64;

    fn scope(&self, _: &String) -> Option<ScopeName> {
        Some(ScopeName::new("fixed"))
    }

    async fn load(&self, _: &String) -> Result<Loaded<u64>, LoadError> {
        Ok(Loaded { value: 7, version: 1 })
    }

    async fn version(&self, _: &String) -> Result<u64, LoadError> {
        Ok(1)
    }

    fn id(&self, key: &String) -> String {
        key.clone()
    }

    fn encode(&self, _: &u64) -> Option<Box<RawValue>> {
        None
    }

    fn decode(&self, _: &str) -> Option<u64> {
        None
    }

    fn weight(&self, _: &u64) -> u32 {
        8
    }
}

/// A cache with the key's value in memory.
pub async fn cache(key: &String) -> Cache<Fixed> {
    let clock = Clock::system();
    let scopes = Arc::new(Scopes::new(clock.clone()));
    let cache = Cache::new(CATALOGUE, Fixed, None, None, scopes, clock, Handle::current());
    cache.refresh(key).await.unwrap();
    cache
}

/// A catalogue with the database's snapshot in memory.
pub async fn catalogue(store: Store) -> Catalogue {
    let clock = Clock::system();
    let status = Arc::new(Status::new(clock.clone(), DatabaseKind::Embedded));
    let scopes = Arc::new(Scopes::new(clock.clone()));
    let builtin = Seed::builtin().unwrap().into_snapshot();
    let catalogue = Catalogue::new(builtin, None, Arc::clone(&status), scopes, clock, Handle::current());
    catalogue.connect(store);
    status.decide();
    catalogue.refresh().await.unwrap();
    catalogue
}
