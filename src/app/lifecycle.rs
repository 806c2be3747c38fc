//! The background tasks: start, cancellation, end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time limit for the end of all tasks.
const LIMIT: Duration = Duration::from_secs(2);

pub(super) struct Lifecycle {
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self { cancel: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Runs a task until it ends or the server stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.cancel.clone().run_until_cancelled_owned(task));
    }

    /// Runs a task that gets the token and cleans up once it is cancelled.
    pub fn spawn_with_end<T: Future<Output = ()> + Send + 'static>(
        &self,
        task: impl FnOnce(CancellationToken) -> T,
    ) {
        self.tasks.spawn(task(self.cancel.clone()));
    }

    /// Cancels all tasks and waits for their end, 2 s at most.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        if tokio::time::timeout(LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!("background tasks did not end in time");
        }
    }
}
