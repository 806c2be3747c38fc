//! The edition that requests are answered from.

use std::sync::{Arc, PoisonError, RwLock};

use crate::automodel::ProviderHealthBoard;
use crate::catalogue::CatalogueRead;

use super::edition::Edition;

/// Holds the edition of the newest snapshot and health that a request saw. Begins empty.
#[derive(Default)]
pub struct Editions(RwLock<Option<Arc<Edition>>>);

impl Editions {
    /// The edition that shows this read of the catalogue with the providers' current health. A new edition replaces the
    /// last, whose bodies are freed once no answer uses them.
    pub fn of(&self, read: &CatalogueRead, health: &ProviderHealthBoard) -> Arc<Edition> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(edition) = current.filter(|edition| edition.shows(read, &health.current())) {
            return edition;
        }
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Read again behind the lock, so that health never goes back.
        let health = health.current();
        if let Some(edition) = current.as_ref().filter(|edition| edition.shows(read, &health)) {
            // Another request was quicker.
            return Arc::clone(edition);
        }
        let edition = Arc::new(Edition::new(read.clone(), health));
        let last = current.replace(Arc::clone(&edition));
        drop(current);
        drop(last);
        edition
    }

    /// Bodies kept, and their bytes.
    pub fn kept(&self) -> (u64, u64) {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.map_or((0, 0), |edition| edition.kept())
    }
}
