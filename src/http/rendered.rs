//! Models as text, written once per revision: most of the work of a long list would else be writing them anew.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::value::{RawValue, to_raw_value};

use crate::catalogue::CatalogueRead;
use crate::domain::health::ProviderHealth;
use crate::domain::model::Model;

use super::model_view::ModelView;

/// The models of one revision with all their fields, as JSON. About 1 KB each.
pub(super) struct Rendered {
    /// Keeps the snapshot alive, so that another one cannot be taken for it.
    of: CatalogueRead,
    health: ProviderHealth,
    texts: Vec<Option<Box<RawValue>>>,
}

impl Rendered {
    /// The model as a list shows it.
    pub fn text(&self, model: &Model) -> Option<&RawValue> {
        let place = self.of.snapshot().place(model.id.as_str())?;
        self.texts.get(place)?.as_deref()
    }

    fn is_of(&self, read: &CatalogueRead, health: &ProviderHealth) -> bool {
        std::ptr::eq(self.of.snapshot(), read.snapshot()) && self.health == *health
    }
}

/// The texts of the newest revision that was asked for.
#[derive(Default)]
pub struct Renderings(RwLock<Option<Arc<Rendered>>>);

impl Renderings {
    /// The texts of this revision. The first request of a revision writes them; others that come meanwhile may write
    /// them too, rather than wait.
    pub(super) fn of(&self, read: &CatalogueRead, health: &ProviderHealth) -> Arc<Rendered> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(rendered) = held.filter(|rendered| rendered.is_of(read, health)) {
            return rendered;
        }
        let snapshot = read.snapshot();
        let texts = snapshot.models().iter().map(|model| {
            // Writing into memory does not fail; a list would write the model itself then.
            to_raw_value(&ModelView::new(snapshot, health, model)).ok()
        });
        let rendered =
            Arc::new(Rendered { texts: texts.collect(), of: read.clone(), health: health.clone() });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&rendered));
        rendered
    }
}
