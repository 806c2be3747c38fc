//! Documents that are built once and sent in every coding.

use std::sync::OnceLock;

use actix_web::{HttpRequest, HttpResponse};

use super::coding::{Accepted, Coding};
use super::representation::Representation;

/// A document in each coding, built on the first request.
#[derive(Debug, Default)]
pub struct Coded([OnceLock<Representation>; 3]);

impl Coded {
    /// Answers in the client's preferred coding, or with 304. `write` builds the document on the first request. The
    /// caller sets the lifetime.
    pub fn respond(
        &self,
        request: &HttpRequest,
        content_type: &'static str,
        write: impl FnOnce() -> Vec<u8>,
    ) -> HttpResponse {
        let of = |coding: Coding| &self.0[coding as usize];
        let plain = || of(Coding::Identity).get_or_init(|| Representation::new(write(), Coding::Identity));
        let body = match Accepted::by(request.headers()).coding {
            Coding::Identity => plain(),
            coding => of(coding).get_or_init(|| plain().encoded(coding)),
        };
        body.clone().respond(request, content_type)
    }
}
