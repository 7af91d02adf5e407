//! One state of the data: the default and the operator's files above it.

use std::collections::{HashMap, HashSet};
use std::hash::Hasher;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use thiserror::Error;

use super::build::decompress;
use super::info::DatabaseInfo;
use super::located::{Known, Located, RecordKey, Said};
use super::overlay::{Overlay, OverlayRow};
use super::probe;
use super::record::Record;
use super::reserved::is_reserved;
use super::traits::Traits;
use crate::attribute::NetworkKind;

/// The default and up to [`super::FILES_MAX`] files.
pub(super) const LAYERS_MAX: usize = 8;

/// The default as it stands in the repository, compressed.
const DEFAULT_ZST: &[u8] = include_bytes!("../../geo/default.mmdb.zst");

/// Why a database was refused.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("read the address database {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file exceeds what is held in memory.
    #[error("the address database {} has {bytes} bytes, at most {bytes_max} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The file is not a whole MaxMind DB file.
    #[error("the address database {origin} is damaged or not a MaxMind DB file: replace it with a fresh copy")]
    Damaged {
        /// The file, or `default`.
        origin: String,
        /// What the reader said.
        #[source]
        source: MaxMindDbError,
    },
    /// The embedded default does not decompress: the binary is damaged.
    #[error("decompress the embedded address database: the program file is damaged, install it again")]
    Embedded(#[source] std::io::Error),
    /// More files than there are layers.
    #[error("{files} address databases are configured, at most {} can be used together", super::FILES_MAX)]
    TooMany {
        /// How many.
        files: usize,
    },
}

/// One database file in memory.
#[derive(Debug)]
pub(super) struct Layer {
    reader: Reader<Vec<u8>>,
    name: String,
    byte_count: u64,
    is_default: bool,
}

impl Layer {
    /// The default that ships inside the program.
    pub(super) fn embedded() -> Result<Self, OpenError> {
        let bytes = decompress(DEFAULT_ZST).map_err(OpenError::Embedded)?;
        Ok(Self { is_default: true, ..Self::trusted("default", bytes)? })
    }

    /// A file from outside: damage that a sample of its networks shows is refused here rather than met at lookups.
    pub(super) fn checked(origin: &str, bytes: Vec<u8>) -> Result<Self, OpenError> {
        let layer = Self::trusted(origin, bytes)?;
        probe::networks(&layer.reader).map_err(|source| OpenError::Damaged { origin: origin.to_owned(), source })?;
        Ok(layer)
    }

    fn trusted(origin: &str, bytes: Vec<u8>) -> Result<Self, OpenError> {
        // The key is fixed: this names a content, it protects nothing.
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write(&bytes);
        let content = hasher.finish() >> 32;
        let byte_count = bytes.len() as u64;
        let reader =
            Reader::from_source(bytes).map_err(|source| OpenError::Damaged { origin: origin.to_owned(), source })?;
        let metadata = reader.metadata();
        let name = format!("{}@{}-{content:08x}", metadata.database_type, metadata.build_epoch);
        Ok(Self { reader, name, byte_count, is_default: false })
    }

    /// What kind of file it is.
    pub(super) fn info(&self) -> DatabaseInfo {
        let metadata = self.reader.metadata();
        DatabaseInfo {
            version: self.name.clone(),
            database_type: metadata.database_type.clone(),
            build_epoch_s: metadata.build_epoch,
            byte_count: self.byte_count,
        }
    }

    /// Where the record for an address lies. An address of a family that the file does not have is one that it does
    /// not know.
    fn offset(&self, address: IpAddr) -> Result<Option<usize>, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        Ok(self.reader.lookup(address)?.offset())
    }

    fn record(&self, address: IpAddr) -> Result<Option<(Record<'_>, Said<'_>, usize)>, MaxMindDbError> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.reader.lookup(address)?;
        let Some(offset) = found.offset() else { return Ok(None) };
        let Some(record) = found.decode::<Record<'_>>()? else { return Ok(None) };
        // The default has none of these keys.
        let said = if self.is_default { None } else { found.decode::<Traits<'_>>()? };
        Ok(Some((record, said.unwrap_or_default().said(), offset)))
    }
}

impl Layer {
    /// What the file calls each network.
    pub(super) fn names(&self) -> Result<HashMap<u32, String>, OpenError> {
        let damaged = |source| OpenError::Damaged { origin: self.name.clone(), source };
        let (mut names, mut seen) = (HashMap::new(), HashSet::new());
        for found in self.reader.networks(WithinOptions::default()).map_err(damaged)? {
            let found = found.map_err(damaged)?;
            if !seen.insert(found.offset()) {
                continue;
            }
            let record = found.decode::<Record<'_>>().map_err(damaged)?;
            if let Some((asn, name)) = record.and_then(|record| Some((record.asn()?, record.as_name()?.to_owned()))) {
                names.insert(asn, name);
            }
        }
        Ok(names)
    }
}

/// One state of the data; what it answers never changes.
#[derive(Debug)]
pub struct Snapshot {
    /// The uppermost first: a field is taken from the first that has it.
    layers: Vec<Arc<Layer>>,
    version: String,
    damaged_lookups: AtomicU64,
}

impl Snapshot {
    pub(super) fn new(layers: Vec<Arc<Layer>>) -> Self {
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let version = names.join("+");
        Self { layers, version, damaged_lookups: AtomicU64::new(0) }
    }

    /// Which data this is, for the column `enriched_with`: each file's type, build time in seconds since 1970 and
    /// content, the uppermost first.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many lookups met damage in a file and answered as if the file did not know.
    pub fn damaged_lookups(&self) -> u64 {
        self.damaged_lookups.load(Ordering::Relaxed)
    }

    /// What is known about an address. Never fails: damage in a file is counted and answers nothing.
    pub fn lookup(&self, address: IpAddr) -> Located<'_> {
        let address = address.to_canonical();
        if is_reserved(address) {
            return Located { reserved: true, key: RecordKey::RESERVED, ..Located::default() };
        }
        let mut located = Located::default();
        for (layer, index) in self.layers.iter().zip(0..LAYERS_MAX) {
            if let Some((record, said, offset)) = self.count_damage(layer.record(address)) {
                fill(&mut located, &record);
                located.said = located.said.or(said);
                if let Some(slot) = located.key.0.get_mut(index) {
                    *slot = slot_of(offset);
                }
            }
        }
        if located.known.is_none() {
            located.known = located.asn.and_then(|asn| Overlay::embedded().get(asn)).map(OverlayRow::known);
        }
        located
    }

    /// Which records [`Self::lookup`] would answer from: several times faster, and enough to ask a cache.
    pub fn key(&self, address: IpAddr) -> RecordKey {
        let address = address.to_canonical();
        if is_reserved(address) {
            return RecordKey::RESERVED;
        }
        let mut key = RecordKey::default();
        for (layer, slot) in self.layers.iter().zip(&mut key.0) {
            *slot = self.count_damage(layer.offset(address)).map_or(0, slot_of);
        }
        key
    }

    fn count_damage<T>(&self, found: Result<Option<T>, MaxMindDbError>) -> Option<T> {
        found.unwrap_or_else(|_| {
            self.damaged_lookups.fetch_add(1, Ordering::Relaxed);
            None
        })
    }
}

/// Zero stands for no record.
fn slot_of(offset: usize) -> u32 {
    u32::try_from(offset + 1).unwrap_or(u32::MAX)
}

/// Takes from a record what no file above it said. What belongs together is taken from one file.
fn fill<'a>(located: &mut Located<'a>, record: &Record<'a>) {
    if located.asn.is_none() && record.asn().is_some() {
        located.asn = record.asn();
        located.as_name = record.as_name();
        located.known = known(record);
    }
    if located.cloud.is_none() {
        located.cloud = record.cloud;
        located.cloud_region = record.cloud_region;
    }
    if located.country.is_none() {
        located.country = record.country();
        located.region = record.region();
        located.city = record.city();
        located.latitude = record.coordinates().map(|(latitude, _)| latitude);
        located.longitude = record.coordinates().map(|(_, longitude)| longitude);
        located.timezone = record.timezone();
    }
}

fn known<'a>(record: &Record<'a>) -> Option<Known<'a>> {
    let kind = NetworkKind::from_name(record.kind?)?;
    Some(Known { kind, organization: record.org?, domain: record.domain })
}
