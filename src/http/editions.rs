//! The edition that requests are answered from.

use std::sync::{Arc, PoisonError, RwLock};

use crate::catalogue::CatalogueRead;
use crate::domain::health::ProviderHealth;

use super::edition::Edition;

/// The edition of the newest snapshot and health that was asked for. Begins empty.
#[derive(Default)]
pub struct Editions(RwLock<Option<Arc<Edition>>>);

impl Editions {
    /// The edition that shows these. A new one takes the place of the last, whose bodies go as soon as nobody sends them
    /// any more.
    pub(super) fn of(&self, read: &CatalogueRead, health: &Arc<ProviderHealth>) -> Arc<Edition> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(edition) = current.filter(|edition| edition.shows(read, health)) {
            return edition;
        }
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(edition) = current.as_ref().filter(|edition| edition.shows(read, health)) {
            // Another request was quicker.
            return Arc::clone(edition);
        }
        let edition = Arc::new(Edition::new(read.clone(), Arc::clone(health)));
        let last = current.replace(Arc::clone(&edition));
        drop(current);
        drop(last);
        edition
    }

    /// Bodies kept, and their bytes.
    pub(super) fn kept(&self) -> (u64, u64) {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.map_or((0, 0), |edition| edition.kept())
    }
}
