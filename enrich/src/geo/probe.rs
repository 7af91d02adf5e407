//! Whether a database file from outside is whole, judged by a sample of its networks.

use std::fmt;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// Networks decoded of each /8: enough to see damage, little enough for a file of millions of networks.
/// 288 blocks of 64 networks are about 18,000 records, some 20 ms.
const NETWORKS_PER_BLOCK_MAX: usize = 64;

/// Decodes up to [`NETWORKS_PER_BLOCK_MAX`] networks of each block, wholly.
pub(super) fn networks(reader: &Reader<Vec<u8>>) -> Result<(), MaxMindDbError> {
    let v4 = (0..=u8::MAX).map(|first| format!("{first}.0.0.0/8"));
    let global_v6 = (0x20..0x40).map(|first| format!("{first:x}00::/8"));
    let global_v6 = global_v6.filter(|_| reader.metadata().ip_version == 6);
    for block in v4.chain(global_v6) {
        let Ok(block) = block.parse() else { continue };
        for found in reader.within(block, WithinOptions::default())?.take(NETWORKS_PER_BLOCK_MAX) {
            found?.decode::<Whole>()?;
        }
    }
    Ok(())
}

/// Any value, read to its last leaf and forgotten. (`IgnoredAny` would step over pointers without following them.)
struct Whole;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

macro_rules! forget {
    ($($visit:ident: $kind:ty),+) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Whole)
        })+
    };
}

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    forget!(visit_bool: bool, visit_i32: i32, visit_i64: i64, visit_u16: u16, visit_u32: u32, visit_u64: u64,
        visit_u128: u128, visit_f32: f32, visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<Whole, Whole>()?.is_some() {}
        Ok(Whole)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<Whole>()?.is_some() {}
        Ok(Whole)
    }
}
