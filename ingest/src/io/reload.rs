//! Takes a changed configuration while the gateway answers: at SIGHUP, and when the file changes.
//!
//! The file is looked at rather than watched: a look each second costs nothing, and it sees a change on every file system, also over the
//! network and where a folder's link is turned to another folder, which the system's notices do not tell.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use whopulls_schemas::config::Config;

use crate::file_watch::FileWatch;
use crate::gateway::{LiveSwitch, keep_started};
use crate::metrics::ReloadMetrics;

/// How often the file is looked at. A change is taken after two looks that saw the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is looked at of the file. A configuration of 10,000 rules has 2 MB.
const LOOK_BYTES_MAX: u64 = 16 << 20;

type Reread = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// Where a configuration came from, and how it is read again.
#[derive(Clone)]
pub struct ConfigSource {
    file: Option<PathBuf>,
    read: Reread,
}

impl ConfigSource {
    /// `read` gives the configuration as it is now, with all that the role adds to it; `file` is watched where there is one.
    pub fn new(file: Option<PathBuf>, read: impl Fn() -> anyhow::Result<Config> + Send + Sync + 'static) -> Self {
        Self { file, read: Arc::new(read) }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// The file cannot be read, or it has mistakes: all of them.
    pub fn read(&self) -> anyhow::Result<Config> {
        (self.read)()
    }
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSource").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Waits for another configuration.
#[derive(Debug)]
pub(crate) struct Reloader {
    source: ConfigSource,
    running: Config,
    switch: LiveSwitch,
    metrics: ReloadMetrics,
    hangup: Signal,
    watch: FileWatch<Look>,
}

impl Reloader {
    /// From now on SIGHUP does not end the process.
    pub(crate) fn new(
        source: ConfigSource,
        running: Config,
        switch: LiveSwitch,
        metrics: ReloadMetrics,
    ) -> anyhow::Result<Self> {
        let hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        let watch = FileWatch::of(look(source.file.as_deref()));
        Ok(Self { source, running, switch, metrics, hangup, watch })
    }

    /// Takes configurations until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_told = tokio::select! {
                () = stop.cancelled() => return,
                _ = self.hangup.recv() => true,
                _ = ticks.tick() => false,
            };
            let file = self.source.file.clone();
            let Ok(look) = spawn_blocking(move || look(file.as_deref())).await else { return };
            if is_told {
                // Seen before it is read: what changes in between is seen as a change.
                self.watch.note_read(look);
            } else if !self.watch.handle_look(look) {
                continue;
            }
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let (source, running, switch) = (self.source.clone(), self.running.clone(), self.switch.clone());
        // Files are read and certificates loaded, which blocks.
        let read = spawn_blocking(move || take(&source, &running, &switch)).await;
        match read.context("the reload ended early").and_then(|taken| taken) {
            Ok((config, kept)) => {
                self.running = config;
                self.metrics.taken();
                if !kept.is_empty() {
                    tracing::warn!(
                        keys = kept.join(", "),
                        "these settings changed and wait for a restart; everything else is in use"
                    );
                }
                tracing::info!(
                    routes = self.running.routes.len(),
                    upstreams = self.running.upstreams.len(),
                    "the configuration was read again and is in use"
                );
            }
            Err(error) => {
                self.metrics.refused();
                tracing::error!("the new configuration is refused, and the one before it stays in use: {error:#}");
            }
        }
    }
}

/// Reads the configuration and puts it in place, and names what has to wait for a restart.
fn take(source: &ConfigSource, running: &Config, switch: &LiveSwitch) -> anyhow::Result<(Config, Vec<&'static str>)> {
    let mut config = source.read()?;
    let kept = keep_started(running, &mut config)?;
    switch.replace(&config)?;
    Ok((config, kept))
}

/// What a look saw of the file: SHA-256 of what is in it, or that it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Content([u8; 32]),
    Unreadable,
}

fn look(file: Option<&Path>) -> Look {
    let content = |file: &Path| {
        let mut content = Vec::new();
        std::fs::File::open(file)?.take(LOOK_BYTES_MAX).read_to_end(&mut content).map(|_bytes| content)
    };
    match file.map(content) {
        // Without a file nothing ever changes.
        None => Look::Content([0; 32]),
        Some(Ok(content)) => Look::Content(Sha256::digest(&content).into()),
        Some(Err(_)) => Look::Unreadable,
    }
}
