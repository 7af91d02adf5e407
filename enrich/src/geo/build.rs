//! Two databases, the overlay and the clouds' networks made into the one compact file that is the default: a pure function, the same bytes for the same input.
//!
//! The sources are sets of disjoint networks. Descending all at once, a block of addresses about which each source says one thing is a leaf;
//! two equal leaves side by side become one. Each distinct (network, country, cloud) is written once, with its strings behind pointers.

use std::collections::HashMap;
use std::net::IpAddr;

use maxminddb::{Reader, WithinOptions};
use thiserror::Error;

use super::clouds::Clouds;
use super::encode::{self, Branch, Description, EncodeError};
use super::overlay::Overlay;
use super::record::Record;

/// What `database_type` says in the metadata of the file.
pub const DATABASE_TYPE: &str = "whopulls-default";
const DESCRIPTION: &str = "Network, network name and country of an address, and what whopulls knows about the network. \
    From sapics/ip-location-db (PDDL), which draws on RouteViews, RIPE RIS and the NRO, and the networks that clouds publish.";

/// Longest name kept of a network, in bytes. The longest in today's data is about 200.
const NAME_BYTES_MAX: usize = 256;
const ADDRESS_BITS: u8 = 128;

/// Why the default could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// A source is not a MaxMind DB file, or is damaged.
    #[error("read the {source_name} database: it must be an undamaged MaxMind DB file")]
    Source {
        /// Which of the two.
        source_name: &'static str,
        /// What the reader said.
        #[source]
        source: maxminddb::MaxMindDbError,
    },
    /// A source holds nothing of what it is for.
    #[error("the {source_name} database has no {field} in any record: was the other file meant?")]
    Useless {
        /// Which of the two.
        source_name: &'static str,
        /// What was looked for.
        field: &'static str,
    },
    /// The result does not fit the format.
    #[error("write the combined database")]
    Encode(#[from] EncodeError),
}

/// The default database from an ASN database, a country database, the overlay and the clouds' networks.
///
/// # Errors
///
/// When a source cannot be read or holds nothing to take, or when the result exceeds the format.
pub fn build_default(
    asn_mmdb: &[u8],
    country_mmdb: &[u8],
    overlay: &Overlay,
    clouds: &Clouds,
) -> Result<Vec<u8>, BuildError> {
    let mut networks = Interner::default();
    let (asn_entries, asn_epoch) = read("ASN", "network number", asn_mmdb, |record| {
        let number = record.asn()?;
        Some(networks.id(AutonomousSystem { number, name: record.as_name().map(shorten).unwrap_or_default() }))
    })?;
    let mut countries = Interner::default();
    let (country_entries, country_epoch) =
        read("country", "country code", country_mmdb, |record| Some(countries.id(record.country()?.to_owned())))?;

    let mut regions = Interner::default();
    let cloud_entries: Vec<Entry> = clouds
        .ranges()
        .iter()
        .map(|range| {
            let value = regions.id(Region { cloud: range.cloud.clone(), name: range.region.clone() });
            Entry { first: range.first, prefix_bits: range.prefix_bits, value }
        })
        .collect();

    let mut tree = Tree::default();
    let root = tree.merge(Block::whole(), [&asn_entries, &country_entries, &cloud_entries]);
    tree.ensure_root(root);
    let values = Values { networks: &networks.values, countries: &countries.values, regions: &regions.values, overlay };
    let data = DataSection::write(&tree.leaves(), values);
    let nodes: Vec<[Branch; 2]> = tree.nodes.iter().map(|pair| pair.map(|side| data.branch(side))).collect();
    let description =
        Description { database_type: DATABASE_TYPE, english: DESCRIPTION, build_epoch: asn_epoch.max(country_epoch) };
    Ok(encode::file(&nodes, &data.bytes, description)?)
}

/// Compresses a database to what is embedded: zstd at level 19, the highest that needs no special memory to read.
///
/// # Errors
///
/// When zstd fails, which only lack of memory makes it do.
pub fn compress(mmdb: &[u8]) -> std::io::Result<Vec<u8>> {
    const LEVEL: i32 = 19;
    zstd::bulk::compress(mmdb, LEVEL)
}

/// What [`compress`] compressed.
///
/// # Errors
///
/// It is not zstd, or more than 64 MiB.
pub fn decompress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    const BYTES_MAX: usize = 64 << 20;
    zstd::bulk::decompress(bytes, BYTES_MAX)
}

/// One network of a source and the number of what the source says about it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    first: u128,
    prefix_bits: u8,
    value: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AutonomousSystem {
    number: u32,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Region {
    cloud: String,
    /// Empty when the cloud says none.
    name: String,
}

/// What the numbers in leaves stand for.
#[derive(Debug, Clone, Copy)]
struct Values<'a> {
    networks: &'a [AutonomousSystem],
    countries: &'a [String],
    regions: &'a [Region],
    overlay: &'a Overlay,
}

/// Numbers distinct values in the order of their first appearance.
#[derive(Debug)]
struct Interner<T> {
    values: Vec<T>,
    ids: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { values: Vec::new(), ids: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interner<T> {
    fn id(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        *self.ids.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }
}

fn shorten(name: &str) -> String {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// All networks of a source in ascending order, each with the number that `value` gives its record, and the source's build time.
fn read(
    source_name: &'static str,
    field: &'static str,
    mmdb: &[u8],
    mut value: impl FnMut(&Record<'_>) -> Option<u32>,
) -> Result<(Vec<Entry>, u64), BuildError> {
    let damaged = |source| BuildError::Source { source_name, source };
    let reader = Reader::from_source(mmdb).map_err(damaged)?;
    let mut value_of_offset: HashMap<Option<usize>, Option<u32>> = HashMap::new();
    let mut entries = Vec::new();
    for found in reader.networks(WithinOptions::default()).map_err(damaged)? {
        let found = found.map_err(damaged)?;
        let number = if let Some(known) = value_of_offset.get(&found.offset()) {
            *known
        } else {
            let number = found.decode::<Record<'_>>().map_err(damaged)?.and_then(|record| value(&record));
            value_of_offset.insert(found.offset(), number);
            number
        };
        let network = found.network().map_err(damaged)?;
        if let Some(value) = number {
            let (first, prefix_bits) = match network.network() {
                IpAddr::V4(address) => (u128::from(u32::from(address)), network.prefix() + 96),
                IpAddr::V6(address) => (u128::from(address), network.prefix()),
            };
            entries.push(Entry { first, prefix_bits, value });
        }
    }
    if entries.is_empty() {
        return Err(BuildError::Useless { source_name, field });
    }
    entries.sort_unstable_by_key(|entry| (entry.first, entry.prefix_bits));
    Ok((entries, reader.metadata().build_epoch))
}

/// A block of addresses: all that begin with the first `prefix_bits` bits of `first`.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: u128,
    prefix_bits: u8,
}

impl Block {
    fn whole() -> Self {
        Self { first: 0, prefix_bits: 0 }
    }

    fn halves(self) -> [Self; 2] {
        let prefix_bits = self.prefix_bits + 1;
        let middle = self.first | 1 << (ADDRESS_BITS - prefix_bits);
        [Self { first: self.first, prefix_bits }, Self { first: middle, prefix_bits }]
    }
}

/// What the sources say about a block: their values' numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Leaf {
    network: Option<u32>,
    country: Option<u32>,
    region: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Leaf(Leaf),
    Node(u32),
}

/// The merged tree: each node after its parent, the first is the root.
#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<[Side; 2]>,
}

impl Tree {
    /// The part of the tree for one block, given the entries of networks, countries and regions that touch it.
    fn merge(&mut self, block: Block, sources: [&[Entry]; 3]) -> Side {
        if let [Some(network), Some(country), Some(region)] = sources.map(|entries| uniform(block, entries)) {
            return Side::Leaf(Leaf { network, country, region });
        }
        let index = self.nodes.len();
        self.nodes.push([Side::Leaf(Leaf::default()); 2]);
        let [left, right] = block.halves();
        let halves = sources.map(|entries| split(block, right.first, entries));
        let sides = [self.merge(left, halves.map(|half| half.0)), self.merge(right, halves.map(|half| half.1))];
        if let [Side::Leaf(a), Side::Leaf(b)] = sides
            && a == b
        {
            self.nodes.truncate(index);
            return Side::Leaf(a);
        }
        if let Some(node) = self.nodes.get_mut(index) {
            *node = sides;
        }
        Side::Node(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// A file needs a root node, even when all addresses are alike.
    fn ensure_root(&mut self, root: Side) {
        if self.nodes.is_empty() {
            self.nodes.push([root; 2]);
        }
    }

    fn leaves(&self) -> Vec<Leaf> {
        let mut leaves: Vec<Leaf> = self
            .nodes
            .iter()
            .flatten()
            .filter_map(|side| match side {
                Side::Leaf(leaf) => Some(*leaf),
                Side::Node(_) => None,
            })
            .collect();
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }
}

/// What one source says about the whole block; `None` when it says several things.
#[expect(
    clippy::option_option,
    reason = "the outer says whether there is one answer, the inner whether that answer is known"
)]
fn uniform(block: Block, entries: &[Entry]) -> Option<Option<u32>> {
    match entries {
        [] => Some(None),
        [entry, ..] if entry.prefix_bits <= block.prefix_bits => Some(Some(entry.value)),
        _ => None,
    }
}

/// The entries of each half; one that covers the block belongs to both.
fn split(block: Block, middle: u128, entries: &[Entry]) -> (&[Entry], &[Entry]) {
    if uniform(block, entries).is_some() {
        return (entries, entries);
    }
    entries.split_at(entries.partition_point(|entry| entry.first < middle))
}

/// The records, and where each leaf's is.
#[derive(Debug, Default)]
struct DataSection {
    bytes: Vec<u8>,
    strings: HashMap<String, usize>,
    offsets: HashMap<Leaf, u32>,
}

impl DataSection {
    fn write(leaves: &[Leaf], values: Values<'_>) -> Self {
        let mut data = Self::default();
        // Keys and countries come first: pointers to the first 2,048 bytes take two bytes.
        for key in ["asn", "as_name", "country", "kind", "org", "domain", "cloud", "cloud_region"] {
            data.place(key);
        }
        for country in values.countries {
            data.place(country);
        }
        for leaf in leaves {
            if *leaf != Leaf::default() {
                data.record(*leaf, values);
            }
        }
        data
    }

    fn record(&mut self, leaf: Leaf, values: Values<'_>) {
        let network = leaf.network.and_then(|id| values.networks.get(id as usize));
        let country = leaf.country.and_then(|id| values.countries.get(id as usize));
        let region = leaf.region.and_then(|id| values.regions.get(id as usize));
        let known = network.and_then(|network| values.overlay.get(network.number));
        let texts = [
            ("as_name", network.map(|network| network.name.as_str())),
            ("country", country.map(String::as_str)),
            ("kind", known.map(|row| row.kind.as_str())),
            ("org", known.map(|row| row.organization.as_str())),
            ("domain", known.map(|row| row.domain.as_str())),
            ("cloud", region.map(|region| region.cloud.as_str())),
            ("cloud_region", region.map(|region| region.name.as_str())),
        ];
        let texts: Vec<(&str, &str)> =
            texts.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?))).collect();
        for (_, text) in &texts {
            self.place(text);
        }
        let offset = self.bytes.len();
        encode::map(&mut self.bytes, texts.len() + usize::from(network.is_some()));
        if let Some(network) = network {
            self.refer("asn");
            encode::uint32(&mut self.bytes, network.number);
        }
        for (key, text) in texts {
            self.refer(key);
            self.refer(text);
        }
        self.offsets.insert(leaf, u32::try_from(offset).unwrap_or(u32::MAX));
    }

    /// Writes a string at the end, once.
    fn place(&mut self, text: &str) {
        if !self.strings.contains_key(text) {
            self.strings.insert(text.to_owned(), self.bytes.len());
            encode::string(&mut self.bytes, text);
        }
    }

    /// A pointer to a string that was placed.
    fn refer(&mut self, text: &str) {
        match self.strings.get(text) {
            Some(offset) => encode::pointer(&mut self.bytes, *offset),
            None => encode::string(&mut self.bytes, text),
        }
    }

    fn branch(&self, side: Side) -> Branch {
        match side {
            Side::Node(index) => Branch::Node(index),
            Side::Leaf(leaf) => self.offsets.get(&leaf).map_or(Branch::Empty, |offset| Branch::Data(*offset)),
        }
    }
}
