//! What the rule reads of a request: nothing that a row of the table does not hold.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use uuid::Uuid;
use whopulls_schemas::UnixMicros;
use whopulls_schemas::raw::{Child, Kind, RawAccess};

use super::memory::{PairKey, hash_of};
use crate::client::Automation;
use crate::event::{Action, Enriched};

/// Who asks: the endpoint, and what its user agent was recognized as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// The endpoint.
    pub endpoint_id: i64,
    /// The program, its version, system and architecture.
    pub program: [Option<&'a str>; 4],
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The event's.
    pub id: Uuid,
    /// When it came.
    pub ts: UnixMicros,
    /// Absent where nobody may be known: such a request stands alone.
    pub client: Option<Client<'a>>,
    /// What it was by itself.
    pub alone: Action,
    /// What kind of thing was asked for.
    pub kind: Kind,
    /// Whether only the head was asked for.
    pub is_head: bool,
    /// The path.
    pub path: &'a str,
    /// The package or repository.
    pub package: Option<&'a str>,
    /// The tag or digest asked for.
    pub reference: Option<&'a str>,
    /// The digest answered.
    pub digest: Option<&'a str>,
    /// The children of an index that was answered.
    pub children: &'a [Child],
    /// The first byte of a range that was asked for.
    pub range_start: Option<u64>,
}

/// Robots never count: what they fetch is looked at, not used.
pub(super) fn unless_bot(alone: Action, automation: Option<&str>) -> Action {
    let fetches = [Action::Pull, Action::Download, Action::DownloadPart, Action::Blob, Action::BlobPart];
    if automation == Some(Automation::Bot.as_str()) && fetches.contains(&alone) { Action::Metadata } else { alone }
}

impl<'a> Request<'a> {
    /// A record with what was derived of it.
    pub fn of(raw: &'a RawAccess, enriched: &'a Enriched, alone: Action) -> Self {
        let text = |value: &'a Option<String>| value.as_deref();
        let program = [&enriched.client, &enriched.client_version, &enriched.os, &enriched.arch].map(text);
        Self {
            id: raw.id,
            ts: raw.ts,
            client: enriched.endpoint_id.map(|endpoint_id| Client { endpoint_id, program }),
            alone: unless_bot(alone, enriched.automation.as_deref()),
            kind: raw.kind,
            is_head: raw.method == "HEAD",
            path: &raw.path,
            package: raw.repository.as_deref().or(raw.package.as_deref()),
            reference: raw.reference.as_deref(),
            digest: raw.digest.as_deref(),
            children: &raw.children,
            range_start: raw.range_start,
        }
    }

    /// One client and one repository or package.
    pub(super) fn pair_key(&self) -> Option<PairKey> {
        let client = self.client?;
        let mut hasher = SipHasher13::new();
        let package = self.package.unwrap_or(if self.kind == Kind::Oci { "" } else { self.path });
        for text in client.program.into_iter().chain([Some(self.kind.as_str()), Some(package)]) {
            hasher.write(text.unwrap_or_default().as_bytes());
            hasher.write_u8(u8::from(text.is_some()));
        }
        Some(PairKey { endpoint_id: client.endpoint_id, rest: hasher.finish() })
    }

    /// The thing asked for, within its repository or package.
    pub(super) fn asked(&self) -> u64 {
        match (self.kind, self.reference) {
            (Kind::Oci, Some(reference)) => hash_of(reference),
            // A blob has its digest in the path alone.
            (Kind::Oci, None) => hash_of(self.path.rsplit('/').next().unwrap_or_default()),
            _ => hash_of(self.path),
        }
    }

    pub(super) fn is_by_digest(&self) -> bool {
        self.reference.is_some_and(|reference| reference.contains(':'))
    }

    /// The digest of the manifest that was answered.
    pub(super) fn answered(&self) -> Option<&'a str> {
        self.digest.or_else(|| self.reference.filter(|reference| reference.contains(':')))
    }

    /// The tag whose HEAD was answered with a digest.
    pub(super) fn head_of_tag(&self) -> Option<(&'a str, &'a str)> {
        let tag = self.reference.filter(|_| self.is_head && self.kind == Kind::Oci && !self.is_by_digest())?;
        Some((tag, self.digest?))
    }
}
