//! What ChatChonk asks models to do.

use serde::{Deserialize, Serialize};

use super::id::TaskId;

/// A kind of work, such as `summarization`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskType {
    /// The id that `task=` takes.
    pub id: TaskId,
    /// For people.
    pub name: String,
    /// What the work is, in a sentence.
    pub description: String,
}
