//! What the gateway recorded, as lines that are the same in every run.

use whopulls_schemas::raw::{Kind, Outcome, RawAccess};

use crate::images::Images;

/// Which requests a client has under way at once, so that their order is chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Blobs.
    BlobsAtOnce,
    /// The manifests that an index lists, and blobs.
    ChildrenAtOnce,
}

/// The lines of one pull: method, what, by what, which, status, outcome. Requests made at once stand sorted, manifests first.
pub(crate) fn lines(records: &[RawAccess], images: &Images, order: Order) -> Vec<String> {
    let at_once = |record: &RawAccess| match order {
        Order::BlobsAtOnce => what(record) == "blob",
        Order::ChildrenAtOnce => by(record) == "digest" && record.method == "GET" && record.children.is_empty(),
    };
    let mut lines = Vec::new();
    for run in records.chunk_by(|a, b| at_once(a) && at_once(b)) {
        let mut run: Vec<_> = run.iter().map(|record| (what(record) == "blob", line(record, images))).collect();
        run.sort();
        lines.extend(run.into_iter().map(|(_, line)| line));
    }
    lines
}

fn line(record: &RawAccess, images: &Images) -> String {
    if record.kind != Kind::Oci {
        let outcome = record.outcome.map_or("-", Outcome::as_str);
        return format!(
            "{:<4}  {:<4}  {:<60}  {}  {outcome}",
            record.method,
            record.kind.as_str(),
            record.path,
            record.status
        );
    }
    let known = record.digest.as_deref().or(record.reference.as_deref());
    let which = known.map_or_else(|| "-".to_owned(), |known| name(known, images));
    let outcome = record.outcome.map_or("-", Outcome::as_str);
    let (what, by) = (what(record), by(record));
    format!("{:<4}  {what:<9}  {by:<6}  {which:<14}  {}  {outcome}", record.method, record.status)
}

/// A tag that is named after a digest shows the digest's name, as `of image, .sig`.
fn name(known: &str, images: &Images) -> String {
    let Some((hex, suffix)) = known.strip_prefix("sha256-").and_then(|rest| rest.split_at_checked(64)) else {
        return images.name_of(known).to_owned();
    };
    let separator = if suffix.is_empty() { "" } else { ", " };
    format!("of {}{separator}{suffix}", images.name_of(&format!("sha256:{hex}")))
}

fn what(record: &RawAccess) -> &'static str {
    let path = record.path.as_str();
    match path {
        "/v2" | "/v2/" => "base",
        _ if path.contains("/manifests/") => "manifest",
        _ if path.contains("/blobs/") => "blob",
        _ if path.contains("/referrers/") => "referrers",
        _ if path.ends_with("/tags/list") => "tags",
        _ => "other",
    }
}

fn by(record: &RawAccess) -> &'static str {
    match record.reference.as_deref() {
        Some(reference) if reference.contains(':') => "digest",
        Some(_) => "tag",
        None => "-",
    }
}
