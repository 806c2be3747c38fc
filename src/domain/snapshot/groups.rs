//! Models that are alike: what holds for one of them is found out once for all.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::heap::Heap as _;
use crate::domain::model::Model;

/// Models in groups by some of their properties. Thousands of models share a few hundred combinations.
#[derive(Debug, Default)]
pub(in crate::domain) struct Groups {
    /// The group of each model, by its place in the snapshot.
    of: Vec<u32>,
    /// The place of one model of each group.
    examples: Vec<usize>,
}

impl Groups {
    /// Its bytes on the heap.
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

    /// Whether it holds for each group, found out by its example.
    pub(in crate::domain) fn test(&self, holds: impl Fn(usize) -> bool) -> Tested<'_> {
        Tested { of: &self.of, holds: self.examples.iter().map(|&at| holds(at)).collect() }
    }

    /// The place of an example of each group that occurs among these places, and how often it does.
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

/// Which groups passed a test.
#[derive(Default)]
pub(in crate::domain) struct Tested<'s> {
    of: &'s [u32],
    holds: Vec<bool>,
}

impl Tested<'_> {
    /// Whether the model at that place is in a group that passed.
    pub(in crate::domain) fn holds(&self, at: usize) -> bool {
        self.holds[self.of[at] as usize]
    }
}
