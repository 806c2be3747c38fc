//! Faults of single calls.

use std::collections::VecDeque;
use std::time::Duration;

use super::routes::Call;

/// A fault of a call. The call takes no effect, except with [`Fault::HalfBody`] and [`Fault::Slow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An envelope with one error.
    Refused {
        /// The status.
        status: u16,
        /// The code of the error.
        code: u64,
        /// Its message.
        message: &'static str,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// A web page, as the edge shows when its backend is down.
    Page(u16),
    /// A redirect to another address.
    Redirect(String),
    /// No answer, ever.
    Hang,
    /// The connection is closed without an answer.
    Reset,
    /// The right answer, but only half of its body.
    HalfBody,
    /// The right answer, after this time on the clock.
    Slow(Duration),
    /// Bytes without end.
    Endless {
        /// Whether a length is announced: 27 MiB.
        announced: bool,
    },
}

impl Fault {
    /// The API's throttle.
    pub const fn throttled(retry_after: Option<u64>) -> Self {
        let message = "Please wait and consider throttling your request speed";
        Self::Refused { status: 429, code: 971, message, retry_after }
    }

    /// The throttle with a status of success.
    pub const fn throttled_under_200() -> Self {
        let message = "Please wait and consider throttling your request speed";
        Self::Refused { status: 200, code: 971, message, retry_after: None }
    }

    /// The refusal of a namespace that does not exist.
    pub const fn no_namespace() -> Self {
        let message = "get namespace: 'namespace not found'";
        Self::Refused { status: 404, code: 10_013, message, retry_after: None }
    }

    /// The refusal of a token: unknown, without the permission, or a temporary fault of Cloudflare.
    pub const fn forbidden() -> Self {
        Self::Refused { status: 403, code: 10_000, message: "Authentication error", retry_after: None }
    }
}

/// The faults of future calls.
#[derive(Debug, Default)]
pub(super) struct Faults {
    once: VecDeque<(Option<Call>, Fault)>,
    always: Vec<(Option<Call>, Fault)>,
}

impl Faults {
    pub(super) fn once(&mut self, call: Option<Call>, fault: Fault) {
        self.once.push_back((call, fault));
    }

    pub(super) fn always(&mut self, call: Option<Call>, fault: Fault) {
        self.always.push((call, fault));
    }

    /// Returns the fault of this call. The latest lasting fault wins.
    pub(super) fn next(&mut self, call: Call) -> Option<Fault> {
        let concerns = |of: &Option<Call>| of.is_none_or(|of| of == call);
        if let Some(place) = self.once.iter().position(|(of, _)| concerns(of)) {
            return self.once.remove(place).map(|(_, fault)| fault);
        }
        self.always.iter().rev().find(|(of, _)| concerns(of)).map(|(_, fault)| fault.clone())
    }
}
