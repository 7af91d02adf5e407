//! A record of a database file, whoever made it: the keys that we read, and where other makers put the same.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// What a record can hold. Files are told apart by these keys, not by their `database_type`, which anybody may set.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record<'a> {
    asn: Option<Number>,
    autonomous_system_number: Option<u32>,
    as_name: Option<&'a str>,
    autonomous_system_organization: Option<&'a str>,
    #[serde(borrow)]
    country: Option<Place<'a>>,
    country_code: Option<&'a str>,
    #[serde(borrow)]
    city: Option<Place<'a>>,
    #[serde(borrow)]
    subdivisions: Option<Vec<Place<'a>>>,
    location: Option<Location<'a>>,
    pub(super) kind: Option<&'a str>,
    pub(super) org: Option<&'a str>,
    pub(super) domain: Option<&'a str>,
    pub(super) cloud: Option<&'a str>,
    pub(super) cloud_region: Option<&'a str>,
}

/// Where a city record says that an address is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location<'a> {
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: Option<&'a str>,
}

impl<'a> Record<'a> {
    pub(super) fn asn(&self) -> Option<u32> {
        self.autonomous_system_number.or(self.asn.as_ref().and_then(|number| number.0)).filter(|number| *number != 0)
    }

    pub(super) fn as_name(&self) -> Option<&'a str> {
        known(self.as_name.or(self.autonomous_system_organization))
    }

    /// ISO 3166-1, two letters.
    pub(super) fn country(&self) -> Option<&'a str> {
        let named = self.country.as_ref().and_then(|place| place.code.or(place.name));
        [self.country_code, named]
            .into_iter()
            .flatten()
            .find(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
    }

    pub(super) fn city(&self) -> Option<&'a str> {
        known(self.city.as_ref().and_then(|place| place.name))
    }

    /// The first-level subdivision: its code, else its name.
    pub(super) fn region(&self) -> Option<&'a str> {
        known(self.subdivisions.as_ref().and_then(|all| all.first()).and_then(|place| place.code.or(place.name)))
    }

    /// Latitude and longitude in degrees.
    pub(super) fn coordinates(&self) -> Option<(f64, f64)> {
        let location = self.location.as_ref()?;
        location.latitude.zip(location.longitude)
    }

    pub(super) fn timezone(&self) -> Option<&'a str> {
        known(self.location.as_ref().and_then(|location| location.time_zone))
    }
}

fn known(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// A network number: `15169` or `"AS15169"`.
#[derive(Debug)]
struct Number(Option<u32>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Option<u32>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a network number")
            }
            fn visit_u16<E>(self, value: u16) -> Result<Self::Value, E> {
                Ok(Some(value.into()))
            }
            fn visit_u32<E>(self, value: u32) -> Result<Self::Value, E> {
                Ok(Some(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(u32::try_from(value).ok())
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.strip_prefix("AS").unwrap_or(text).parse().ok())
            }
        }
        Ok(Self(deserializer.deserialize_any(NumberVisitor)?))
    }
}

/// A country, city or region: a plain string, or a map with `iso_code` and `names`.
#[derive(Debug, Default)]
struct Place<'a> {
    code: Option<&'a str>,
    name: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Place<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceVisitor;
        impl<'de> Visitor<'de> for PlaceVisitor {
            type Value = Place<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a place, or a map that describes it")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Place { code: None, name: Some(text) })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut place = Place::default();
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "iso_code" => place.code = Some(map.next_value()?),
                        "names" => place.name = map.next_value::<Names<'de>>()?.en,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(place)
            }
        }
        deserializer.deserialize_any(PlaceVisitor)
    }
}
