//! PostgreSQL's announcements, as the cache follows them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::cache::{Announcements, Announcer, Follower, LoadError, Scopes};
use crate::clock::Clock;
use crate::status::Status;
use crate::store::{ChangeListener, Store};

/// Follows the announcements of the database once it is prepared.
pub(super) async fn follow(
    prepared: Arc<SetOnce<Store>>,
    scopes: Arc<Scopes>,
    status: Arc<Status>,
    clock: Clock,
) {
    let store = prepared.wait().await.clone();
    Follower::new(store, scopes, clock, Arc::clone(status.listener())).run().await;
}

impl Announcer for Store {
    type Connection = ChangeListener;

    async fn connect(&self) -> Result<ChangeListener, LoadError> {
        Ok(ChangeListener::connect(self).await?)
    }

    async fn versions(&self, scopes: &[String]) -> Result<HashMap<String, u64>, LoadError> {
        Ok(self.versions(scopes).await?)
    }
}

impl Announcements for ChangeListener {
    async fn next(&mut self) -> Result<(), LoadError> {
        Ok(self.next().await?)
    }

    async fn versions(&mut self, scopes: &[String]) -> Result<HashMap<String, u64>, LoadError> {
        Ok(self.versions(scopes).await?)
    }
}
