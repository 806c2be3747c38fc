//! PostgreSQL's announcements, as the cache follows them.

use std::collections::HashMap;

use crate::cache::{Announcements, Announcer, LoadError};
use crate::store::{ChangeListener, Store};

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
