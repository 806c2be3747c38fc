//! Time limit of handlers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::Handler;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use pin_project_lite::pin_project;

use crate::clock::Clock;

use crate::http::reply::{ApiError, Code};

/// Handlers wait at most 18 s: 15 s for the start of a private PostgreSQL, 3 s for the cache. The rest is for writing a
/// body.
const LIMIT: Duration = Duration::from_secs(20);
/// `Retry-After`, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A handler with a time limit, after which the answer is [`Code::TimedOut`].
///
/// An immediate answer sets no timer and reads no clock.
#[derive(Clone)]
pub struct Limited<F> {
    pub handler: F,
    pub clock: Clock,
}

impl<F, Args> Handler<Args> for Limited<F>
where
    F: Handler<Args>,
{
    type Output = Result<F::Output, ApiError>;
    type Future = Answer<F::Future>;

    fn call(&self, args: Args) -> Self::Future {
        Answer { made: self.handler.call(args), clock: self.clock.clone(), limit: None }
    }
}

pin_project! {
    /// A handler's answer, or its timeout.
    pub struct Answer<A> {
        #[pin]
        made: A,
        clock: Clock,
        // Starts when the answer is first polled.
        limit: Option<Pin<Box<dyn Future<Output = ()>>>>,
    }
}

impl<A: Future> Future for Answer<A> {
    type Output = Result<A::Output, ApiError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.made.poll(context) {
            return Poll::Ready(Ok(answer));
        }
        let limit = this.limit.get_or_insert_with(|| {
            let clock = this.clock.clone();
            Box::pin(async move { clock.sleep(LIMIT).await })
        });
        limit.as_mut().poll(context).map(|()| {
            Err(ApiError::new(Code::TimedOut, format!("no answer within {} s", LIMIT.as_secs()))
                .with(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, HttpResponse, web};
    use serde_json::Value;
    use time::OffsetDateTime;
    use tracing::level_filters::LevelFilter;

    use super::*;
    use crate::http::edge::layers;
    use crate::telemetry::captured::Captured;

    #[tokio::test]
    async fn a_hanging_handler_times_out_after_20_s_with_one_warning() {
        let (log, _captured) = Captured::here(LevelFilter::INFO);
        let (clock, hand) = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let hangs = || std::future::pending::<HttpResponse>();
        let slow = web::get().to(Limited { handler: hangs, clock });
        let app = App::new().route("/slow", slow).wrap(from_fn(layers::outermost));
        let app = init_service(app).await;
        let mut answer = Box::pin(call_service(&app, TestRequest::get().uri("/slow").to_request()));
        assert!(polled_once(&mut answer).await.is_none(), "it waits");
        hand.advance(Duration::from_millis(19_999));
        assert!(polled_once(&mut answer).await.is_none(), "it still waits");
        hand.advance(Duration::from_millis(1));
        let answer = polled_once(&mut answer).await.expect("it is given up");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let header = |name: &str| answer.headers().get(name).unwrap();
        assert_eq!(
            (header("retry-after"), header("cache-control")),
            (&"5".parse().unwrap(), &"no-store".parse().unwrap())
        );
        let problem: Value = read_body_json(answer).await;
        assert_eq!(problem["code"], "timed_out");
        let lines = log.lines();
        assert!(lines.len() == 1 && lines[0].starts_with("WARN "), "{lines:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_ready_at_once_sets_no_timer() {
        let (clock, hand) = Clock::manual(OffsetDateTime::UNIX_EPOCH);
        let ready = Limited { handler: || async { HttpResponse::Ok().finish() }, clock: clock.clone() };
        let mut ready = Box::pin(ready.call(()));
        let answer = polled_once(&mut ready).await.unwrap();
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        assert!(ready.limit.is_none());
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let receive = web::Data::new(Mutex::new(Some(receive)));
        let late = move || {
            let receive = receive.lock().unwrap().take();
            async move { receive.unwrap().await }
        };
        let mut late = Box::pin(Limited { handler: late, clock }.call(()));
        assert!(polled_once(&mut late).await.is_none());
        assert_eq!(hand.sleepers(), 1);
        send.send(()).unwrap();
        assert!(late.await.is_ok());
        assert_eq!(hand.sleepers(), 0, "the timer ends with the answer");
    }

    /// Polls once.
    async fn polled_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| match Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
