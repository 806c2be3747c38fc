//! The route that answers a request.

use actix_web::{HttpMessage as _, HttpRequest};

/// A route by its template, such as `/api/models/{id}`: the label of its metrics and the name of its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route(pub &'static str);

impl Route {
    /// Returns the route of the handling resource, unless [`Route::set`] named another.
    pub(in crate::http) fn of(request: &HttpRequest) -> Option<Self> {
        let set = request.extensions().get().copied();
        set.or_else(|| request.app_data().copied())
    }

    /// Sets the route that answers instead.
    pub(in crate::http) fn set(self, request: &HttpRequest) {
        request.extensions_mut().insert(self);
    }
}
