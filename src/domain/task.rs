//! Task types.

use serde::{Deserialize, Serialize};

use super::id::TaskId;

/// A kind of work, such as `summarization`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskType {
    /// The id for `task=`.
    pub id: TaskId,
    /// For people.
    pub name: String,
    /// One sentence about the work.
    pub description: String,
}
