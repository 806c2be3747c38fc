//! `/api/tasks`.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::State;
use super::error::ApiError;
use super::list::Envelope;
use super::models::read;

#[derive(Serialize)]
struct TaskView<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    /// Listed models that can serve it.
    models: usize,
}

/// All task types.
pub(super) async fn list(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    let read = read(&state).await?;
    let snapshot = read.snapshot();
    let listed: Vec<_> = snapshot.models().iter().filter(|model| snapshot.is_listed(model)).collect();
    let tasks: Vec<_> = snapshot
        .tasks()
        .iter()
        .map(|task| TaskView {
            id: task.id.as_str(),
            name: &task.name,
            description: &task.description,
            models: listed.iter().filter(|model| model.tasks.contains(&task.id)).count(),
        })
        .collect();
    Ok(Envelope::whole(&read, tasks.len(), tasks).respond())
}
