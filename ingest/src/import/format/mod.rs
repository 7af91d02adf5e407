//! The formats: each reads one line by itself.

mod alb;
mod artifactory;
mod caddy;
mod clf;
pub(super) mod cloudfront;
pub(super) mod csv_line;
pub(super) mod docker;
mod fastly;
pub(super) mod gcs;
mod linehaul;
mod object;
mod own;
mod registry;
mod rubygems;
mod s3;
pub(super) mod scarf;
mod template;

use whopulls_schemas::Rejected;
use whopulls_schemas::raw::RawAccess;

use super::LogFormat;
use super::entry::Entry;
use super::header::Header;
use super::part::wrong;
use clf::Clf;
pub(super) use template::entry;
pub use template::{LogTemplate, LogTemplateError};

/// What a line is.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// A request.
    Entry(Box<Entry<'a>>),
    /// A record of our own.
    Record(Box<RawAccess>),
    /// Of the format, but about no request.
    Nothing,
}

/// Reads line `number` of the file that `node` names.
pub(super) fn read<'a>(
    line: &'a [u8],
    format: LogFormat,
    header: &Header,
    number: u64,
    node: &str,
) -> Result<Read<'a>, Rejected> {
    let entry = match format {
        LogFormat::Nginx => clf::parse(line, Clf::Nginx),
        LogFormat::Apache => clf::parse(line, Clf::Apache),
        LogFormat::ApacheVhost => clf::parse(line, Clf::Vhost),
        LogFormat::CloudFront => cloudfront::parse(line, header),
        LogFormat::Alb => alb::parse(line),
        LogFormat::S3 => s3::parse(line),
        LogFormat::Fastly => fastly::parse(line),
        LogFormat::Rubygems => rubygems::parse(line),
        LogFormat::Linehaul => linehaul::parse(line),
        LogFormat::Gcs => gcs::parse(line, header),
        LogFormat::Artifactory => artifactory::parse(line),
        LogFormat::Scarf => scarf::parse(line, header),
        // Its lines are no requests: they are read by `read_report`.
        LogFormat::Docker => Err(wrong("line", "a sum over a week or a month, and no request")),
        LogFormat::Caddy => return caddy::parse(line).map(or_nothing),
        LogFormat::Registry => return registry::parse(line).map(or_nothing),
        LogFormat::Whopulls => return own::parse(line, number, node).map(|record| Read::Record(Box::new(record))),
    };
    entry.map(|entry| Read::Entry(Box::new(entry)))
}

fn or_nothing(entry: Option<Entry<'_>>) -> Read<'_> {
    entry.map_or(Read::Nothing, |entry| Read::Entry(Box::new(entry)))
}
