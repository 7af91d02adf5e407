//! Waiting for what does not answer, without losing or spinning.

use std::error::Error;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

use super::Flow;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Pauses that double up to [`PAUSE_MAX`], until something succeeds.
#[derive(Debug)]
pub(super) struct Retry {
    shutdown: CancellationToken,
    grace: Duration,
    counter: Counter,
    pause: Duration,
    paused_since_shutdown: Duration,
}

impl Retry {
    pub(super) fn new(shutdown: CancellationToken, grace: Duration, counter: Counter) -> Self {
        Self { shutdown, grace, counter, pause: PAUSE_FIRST, paused_since_shutdown: Duration::ZERO }
    }

    pub(super) fn succeeded(&mut self) {
        self.pause = PAUSE_FIRST;
    }

    /// Waits before the next try. After shutdown was asked for it waits only as long as the grace lasts, in short steps.
    pub(super) async fn pause(&mut self, what: &'static str, error: &(dyn Error + Sync)) -> Flow {
        self.counter.inc();
        let causes = causes(error);
        tracing::warn!(error = %causes, pause_ms = self.pause.as_millis(), "cannot {what}; trying again");
        if self.shutdown.is_cancelled() {
            if self.paused_since_shutdown >= self.grace {
                tracing::warn!(
                    "cannot {what} and shutdown was asked for: what is not committed is read again at the next start"
                );
                return Flow::GiveUp;
            }
            self.paused_since_shutdown += PAUSE_FIRST;
            tokio::time::sleep(PAUSE_FIRST).await;
            return Flow::GoOn;
        }
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = self.shutdown.cancelled() => {}
        }
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        Flow::GoOn
    }
}

fn causes(error: &(dyn Error + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
