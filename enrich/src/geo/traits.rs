//! What makers of databases say about an address beyond its network and place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::located::Said;

/// The words of a record, whoever made it: files of networks, domains, connections and anonymous addresses have them at the top, MaxMind's
/// Enterprise file below `traits`. `docs/attribution.md` names the files.
#[derive(Debug, Default)]
pub(super) struct Traits<'a> {
    said: Said<'a>,
}

impl<'a> Traits<'a> {
    pub(super) fn said(&self) -> Said<'a> {
        self.said
    }

    fn note(&mut self, key: &str, value: Leaf<'a>) {
        let said = &mut self.said;
        match key {
            "isp" => said.isp = value.text(),
            "organization" | "name" => said.organization = value.text(),
            "domain" => said.domain = value.text(),
            "user_type" | "type" => said.user_type = value.text(),
            "connection_type" => {
                said.cellular |= value.text().is_some_and(|kind| kind.eq_ignore_ascii_case("cellular"));
            }
            "is_tor_exit_node" | "tor" => said.tor |= value.is_yes(),
            "is_anonymous_vpn" | "is_public_proxy" | "is_residential_proxy" | "vpn" | "proxy" | "relay" => {
                said.vpn |= value.is_yes();
            }
            "is_hosting_provider" | "hosting" => said.hosting |= value.is_yes(),
            _ => {}
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Traits<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TraitsVisitor;
        impl<'de> Visitor<'de> for TraitsVisitor {
            type Value = Traits<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a record")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut traits = Traits::default();
                while let Some(key) = map.next_key::<&str>()? {
                    if key == "traits" {
                        traits.said = traits.said.or(map.next_value::<Traits<'de>>()?.said);
                    } else {
                        traits.note(key, map.next_value()?);
                    }
                }
                Ok(traits)
            }
        }
        deserializer.deserialize_map(TraitsVisitor)
    }
}

/// A value, as far as it can be a word or a yes.
#[derive(Debug, Clone, Copy)]
enum Leaf<'a> {
    Text(&'a str),
    Yes(bool),
    /// A place, a list, a number: another maker's meaning of the key.
    Other,
}

impl<'a> Leaf<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Text(_) | Self::Yes(_) | Self::Other => None,
        }
    }

    fn is_yes(self) -> bool {
        matches!(self, Self::Yes(true) | Self::Text("true"))
    }
}

macro_rules! other {
    ($($visit:ident: $kind:ty),+) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Leaf::Other)
        })+
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Leaf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LeafVisitor;
        impl<'de> Visitor<'de> for LeafVisitor {
            type Value = Leaf<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Leaf::Text(text))
            }
            fn visit_bool<E>(self, is: bool) -> Result<Self::Value, E> {
                Ok(Leaf::Yes(is))
            }
            other!(visit_i32: i32, visit_i64: i64, visit_u16: u16, visit_u32: u32, visit_u64: u64, visit_u128: u128,
                visit_f32: f32, visit_f64: f64, visit_bytes: &[u8]);
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Leaf::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Leaf::Other)
            }
        }
        deserializer.deserialize_any(LeafVisitor)
    }
}
