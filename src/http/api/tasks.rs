//! `/api/tasks`.

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::TaskId;
use crate::http::reply::{Edition, Lifetime, List, Reader, Reply, Resource, json};

use super::list::{Envelope, ListOf};

/// A kind of work for models.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
pub struct TaskView<'a> {
    #[schema(value_type = TaskId)]
    id: &'a str,
    /// Display name.
    name: &'a str,
    /// The work in one sentence.
    description: &'a str,
    /// Number of listed models that serve it.
    models: usize,
}

type TaskList = ListOf<TaskView<'static>>;

/// List task types.
///
/// With the number of models that serve each. Ignores parameters.
#[utoipa::path(get, path = "", operation_id = "list_tasks", tag = "Tasks",
    responses((status = 200, description = "All task types.", body = TaskList)))]
pub async fn list(reader: web::Data<Reader>, request: HttpRequest) -> Reply {
    let reading = reader.read().await?;
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
    json(&Envelope::whole(edition.read(), tasks))
}
