//! `/api/tasks`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::State;
use super::edition::{Edition, List, Resource};
use super::error::ApiError;
use super::freshness::Lifetime;
use super::list::Envelope;
use super::reading::{Reading, json};

#[derive(Serialize)]
struct TaskView<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    /// Listed models that can serve it.
    models: usize,
}

/// All task types.
pub(super) async fn list(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let reading = Reading::begin(&state).await?;
    reading.answer(&request, Resource::List(List::Tasks), Lifetime::Models, written).await
}

fn written(edition: &Edition) -> Vec<u8> {
    let snapshot = edition.read().snapshot();
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
    json(&Envelope::whole(edition.read(), tasks.len(), tasks))
}
