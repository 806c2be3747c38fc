//! Groups of similar models: one test per group.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::heap::Heap as _;
use crate::domain::model::Model;

/// Models grouped by some of their properties. Thousands of models share a few hundred combinations.
#[derive(Debug, Default)]
pub(in crate::domain) struct Groups {
    /// Group of each model, by position.
    of: Vec<u32>,
    /// Position of one model per group.
    examples: Vec<usize>,
}

impl Groups {
    /// Returns the bytes on the heap.
    pub(in crate::domain) fn bytes(&self) -> usize {
        self.of.heap() + self.examples.heap()
    }

    pub(in crate::domain) fn by<'s, K: Eq + Hash>(models: &'s [Model], key: impl Fn(&'s Model) -> K) -> Self {
        let mut numbers = HashMap::new();
        let mut groups = Self::default();
        for (at, model) in models.iter().enumerate() {
            let number = *numbers.entry(key(model)).or_insert_with(|| {
                groups.examples.push(at);
                groups.examples.len() - 1
            });
            groups.of.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
        groups
    }

    /// Tests one example of each group.
    pub(in crate::domain) fn test(&self, holds: impl Fn(usize) -> bool) -> Tested<'_> {
        Tested { of: &self.of, holds: self.examples.iter().map(|&at| holds(at)).collect() }
    }

    /// Returns an example of each group among the positions, with its number of models.
    pub(in crate::domain) fn count(
        &self,
        places: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = (usize, usize)> {
        let mut counts = vec![0; self.examples.len()];
        for at in places {
            counts[self.of[at] as usize] += 1;
        }
        self.examples.iter().copied().zip(counts).filter(|(_, count)| *count > 0)
    }
}

/// Groups that passed a test.
#[derive(Default)]
pub(in crate::domain) struct Tested<'s> {
    of: &'s [u32],
    holds: Vec<bool>,
}

impl Tested<'_> {
    /// Whether the group of the model at a position passed.
    pub(in crate::domain) fn holds(&self, at: usize) -> bool {
        self.holds[self.of[at] as usize]
    }
}
