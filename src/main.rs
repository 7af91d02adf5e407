//! `whopulls`: which organizations download and use an open-source project.

mod admin;
mod check;
mod configuration;
mod dead_letters;
mod demo;
mod endpoint_key;
mod explain;
mod export;
mod follow;
mod forget;
mod geo;
mod import;
mod import_source;
mod log;
mod overrides;
mod question;
mod recount;
mod role;
mod shutdown;
mod spool_source;
mod up;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use configuration::ConfigArguments;
use tikv_jemallocator::Jemalloc;

/// Records are made on one thread and dropped on another, millions of them: glibc's allocator takes a fifth of an import's time for it,
/// and gives memory back late.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Which organizations download and use an open-source project.
#[derive(Debug, Parser)]
#[command(name = "whopulls", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Log as JSON, one object a line
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role in one process on this machine, without Kafka
    Up,
    /// Show it at work: real pulls from real networks against a small registry of its own
    Demo(demo::DemoArguments),
    /// Answer downloads, record each, and forward the records to Kafka
    Gateway,
    /// Turn raw records into events in the lake
    Enrich,
    /// Answer questions over HTTP
    Serve,
    /// Bring in somebody's access log
    Import(import::ImportArguments),
    Follow(follow::FollowArguments),
    /// Write events in the shape of another product's export
    Export(export::ExportArguments),
    /// Answer one SQL query
    Sql(question::SqlArguments),
    /// Show which organizations download, with the coverage beside it
    Orgs(question::OrgsArguments),
    /// Say whose addresses are, and why
    Explain(explain::ExplainArguments),
    /// Tell every mistake in the configuration
    Check,
    /// What you know better than the databases, for what comes and for what was recorded
    #[command(subcommand)]
    Overrides(overrides::OverridesCommand),
    /// Count what was recorded by the rule of today
    Recount(recount::RecountArguments),
    /// Erase who asked: an endpoint, a network or an organization, from every file of the table
    Forget(forget::ForgetArguments),
    /// The key under which addresses become endpoints
    #[command(subcommand)]
    EndpointKey(endpoint_key::EndpointKeyCommand),
    /// The network database
    #[command(subcommand)]
    Geo(geo::GeoCommand),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start(&arguments.command, arguments.log_json);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            log::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Whoever reads our output has heard enough (`whopulls orgs | head`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn run(arguments: Arguments) -> Result<()> {
    let Arguments { config, command, .. } = arguments;
    if let Command::Check = command {
        return check::check(&config);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Up => Box::pin(up::up(&config)).await,
            Command::Demo(arguments) => Box::pin(demo::demo(&config, &arguments)).await,
            Command::Gateway => Box::pin(role::gateway(&config)).await,
            Command::Enrich => Box::pin(role::enrich(&config)).await,
            Command::Serve => Box::pin(role::serve(&config)).await,
            Command::Import(arguments) => Box::pin(import::import(&config, &arguments)).await,
            Command::Follow(arguments) => Box::pin(follow::follow(&config, &arguments)).await,
            Command::Export(arguments) => Box::pin(export::export(&config, &arguments)).await,
            Command::Sql(arguments) => Box::pin(question::sql(&config, &arguments)).await,
            Command::Orgs(arguments) => Box::pin(question::orgs(&config, &arguments)).await,
            Command::Explain(arguments) => explain::explain(&config, &arguments).await,
            Command::EndpointKey(command) => endpoint_key::run(&config, &command),
            Command::Overrides(command) => Box::pin(overrides::run(&config, &command)).await,
            Command::Recount(arguments) => Box::pin(recount::recount(&config, &arguments)).await,
            Command::Forget(arguments) => Box::pin(forget::forget(&config, &arguments)).await,
            Command::Geo(command) => Box::pin(geo::run(&config, &command)).await,
            Command::Check => Ok(()),
        }
    })
}
