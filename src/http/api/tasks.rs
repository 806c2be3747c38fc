//! `/api/tasks`.

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::TaskId;
use crate::http::reply::{Edition, Lifetime, List, Reader, Reply, Resource, json};

use super::list::{Envelope, ListOf};

/// A kind of work that models are asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
pub struct TaskView<'a> {
    #[schema(value_type = TaskId)]
    id: &'a str,
    /// For people.
    name: &'a str,
    /// What the work is, in a sentence.
    description: &'a str,
    /// How many listed models can serve it.
    models: usize,
}

/// A list of task types.
type TaskList = ListOf<TaskView<'static>>;

/// List task types.
///
/// With how many models can serve each. Parameters are ignored.
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
