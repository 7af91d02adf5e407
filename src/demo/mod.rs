//! The whole of it at work on this machine: every role, a small registry, and real networks that pull from it.

mod origin;
mod traffic;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use whopulls_query::{Engine, OrganizationsQuery, organizations, organizations_table};
use whopulls_schemas::config::Config;

use crate::configuration::ConfigArguments;
use crate::question::{open_engine, thousands};
use crate::shutdown;
use crate::up::Up;

/// How long the demo waits for its own rows: the flush is one second.
const VISIBLE_MAX: Duration = Duration::from_mins(1);

/// Show it at work.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArguments {
    /// End when the table is printed
    #[arg(long)]
    exit: bool,
}

/// `whopulls demo`.
pub(crate) async fn demo(arguments: &ConfigArguments, demo: &DemoArguments) -> Result<()> {
    ensure!(arguments.config.is_none(), "the demo has a configuration of its own: leave --config out");
    let stop = shutdown::on_signal()?;
    let scratch = tempfile::Builder::new().prefix("whopulls-demo-").tempdir().context("make a folder for the demo")?;
    let data = arguments.data.clone().unwrap_or_else(|| scratch.path().to_owned());
    let mut content = origin::Content::default();
    let images = traffic::images(&mut content);
    let registry = origin::serve(content, stop.clone()).await?;
    let config = configuration(&data, registry)?;
    let engine = open_engine(&config)?;
    let up = Up::start(&config, &data, None).await?;

    let visits = traffic::visit_count()?;
    let bar = ProgressBar::new(visits as u64)
        .with_style(ProgressStyle::with_template("pulling [{bar:40}] {human_pos}/{human_len}, {eta} left")?);
    let totals = traffic::drive(up.gateway, &images, &bar).await?;
    bar.finish_and_clear();
    wait_until_visible(&engine, totals.requests).await?;
    let answer =
        organizations(&engine, &OrganizationsQuery { limit: Some(30), ..OrganizationsQuery::default() }).await?;

    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} clients in real networks made {} requests through the gateway; each is a row of the table now.\n",
        thousands(totals.clients as u64),
        thousands(totals.requests as u64)
    )?;
    writeln!(out, "{}\n", organizations_table(&answer).trim_end())?;
    let page = format!("http://{}", up.serve);
    writeln!(out, "Page   {page}/\nAPI    {page}/api/v1/organizations\nData   {}", data.display())?;
    if demo.exit {
        stop.cancel();
    } else {
        writeln!(out, "Ctrl-C ends it.")?;
    }
    up.run_until(stop).await
}

/// Loopback only, on free ports; the forwarding header is believed from there.
fn configuration(data: &Path, registry: SocketAddr) -> Result<Config> {
    let text = format!(
        r#"
        [gateway]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]
        [serve]
        listen = "127.0.0.1:0"
        [enrich]
        flush_s = 1
        [[route]]
        id = "images"
        kind = "oci"
        match = "acme/{{image}}"
        upstream = "http://{registry}"
        [[route]]
        id = "releases"
        kind = "file"
        match = "/releases/{{version}}/acme-{{os}}-{{arch}}.tar.gz"
        to = "https://downloads.example.org/acme/{{version}}/acme-{{os}}-{{arch}}.tar.gz"
        package = "acme-cli"
        "#
    );
    let folder = ("WHOPULLS_DATA".to_owned(), data.display().to_string());
    Ok(Config::parse("the demo's configuration", &text, &[folder])?)
}

async fn wait_until_visible(engine: &Engine, requests: usize) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let waiting = async {
        loop {
            ticks.tick().await;
            let Ok(answer) = engine.sql("select count(*) from events").await else { continue };
            if first_number(&answer).is_some_and(|count| count >= requests as u64) {
                return;
            }
        }
    };
    tokio::time::timeout(VISIBLE_MAX, waiting)
        .await
        .with_context(|| format!("not all {requests} requests were visible within {VISIBLE_MAX:?}"))
}

fn first_number(answer: &whopulls_query::QueryResult) -> Option<u64> {
    let csv = whopulls_query::write(answer, whopulls_query::Format::Csv).ok()?;
    csv.lines().nth(1)?.parse().ok()
}
