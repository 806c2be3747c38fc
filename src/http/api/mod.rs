//! Routes below `/api` for the catalogue and the server's status, one file per resource.

pub mod automodel;
pub mod cost;
mod list;
pub mod models;
mod params;
pub mod path_id;
pub mod providers;
pub mod status;
pub mod tasks;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};

use crate::status::Status;

use super::reply::Reader;
use automodel::AutoModelAnswer;
use status::StatusAnswer;

/// Registers the data of the handlers.
pub fn configure(reader: Data<Reader>, status: Arc<Status>) -> impl Fn(&mut ServiceConfig) {
    let history = Data::new(StatusAnswer { status: Arc::clone(&status), last: <_>::default() });
    let automodel = Data::new(AutoModelAnswer { reader: reader.clone(), status, last: <_>::default() });
    move |app| {
        app.app_data(reader.clone()).app_data(history.clone()).app_data(automodel.clone());
    }
}
