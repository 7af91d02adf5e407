//! What was derived of addresses and user agents a moment ago: the same ones come again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::{Client, USER_AGENT_BYTES_MAX, recognize};
use crate::endpoint::Month;
use crate::event::Enriched;
use crate::geo::Snapshot;
use crate::overrides::Overrides;

/// Addresses that are remembered; at about 900 bytes each, 30 MB. Beyond it all are forgotten.
const ADDRESSES_MAX: usize = 1 << 15;
/// User agents that are remembered; at most some 1,100 bytes each, 18 MB.
const USER_AGENTS_MAX: usize = 1 << 14;

/// It. Only one thread derives at a time, so the locks are free.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    places: Mutex<Places>,
    clients: Mutex<HashMap<String, Client>>,
}

/// What decides what is derived, beside the data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) address: IpAddr,
    /// The domain that its name was learned to be in.
    pub(crate) name: Option<&'a Arc<str>>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) is_mirrored: bool,
    /// Where endpoints have another key each month.
    pub(crate) month: Option<Month>,
}

/// What was derived under one state of the data.
#[derive(Debug, Default)]
struct Places {
    under: Option<(Arc<Snapshot>, Arc<Overrides>)>,
    by_address: HashMap<IpAddr, Known>,
}

/// What was derived of an address the last time.
#[derive(Debug)]
struct Known {
    name: Option<Arc<str>>,
    user_agent: Option<Box<str>>,
    is_mirrored: bool,
    month: Option<Month>,
    enriched: Arc<Enriched>,
}

impl Known {
    fn is_of(&self, asked: &Asked<'_>) -> bool {
        self.user_agent.as_deref() == asked.user_agent
            && self.is_mirrored == asked.is_mirrored
            && self.month == asked.month
    }
}

impl Recent {
    /// What was derived under these data for the same question, or what `derive` gives of the address and `complete` adds of the rest.
    pub(crate) fn enriched(
        &self,
        asked: &Asked<'_>,
        under: (&Arc<Snapshot>, &Arc<Overrides>),
        derive: impl FnOnce() -> Enriched,
        complete: impl FnOnce(Enriched) -> Enriched,
    ) -> Arc<Enriched> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |known: &(Arc<Snapshot>, Arc<Overrides>)| Arc::ptr_eq(&known.0, under.0) && Arc::ptr_eq(&known.1, under.1);
        if !places.under.as_ref().is_some_and(is_same) {
            places.under = Some((Arc::clone(under.0), Arc::clone(under.1)));
            places.by_address.clear();
        }
        let known = places.by_address.get(&asked.address).filter(|known| known.name.as_ref() == asked.name);
        if let Some(known) = known.filter(|known| known.is_of(asked)) {
            return Arc::clone(&known.enriched);
        }
        // What the user agent and the month say is said anew; the address is the same.
        let place = known.map_or_else(derive, |known| known.enriched.as_ref().clone());
        let enriched = Arc::new(complete(place));
        if places.by_address.len() >= ADDRESSES_MAX {
            places.by_address.clear();
        }
        let known = Known {
            name: asked.name.cloned(),
            user_agent: asked.user_agent.map(Box::from),
            is_mirrored: asked.is_mirrored,
            month: asked.month,
            enriched: Arc::clone(&enriched),
        };
        places.by_address.insert(asked.address, known);
        enriched
    }

    /// [`recognize`].
    pub(crate) fn client(&self, user_agent: &str) -> Client {
        if user_agent.len() > USER_AGENT_BYTES_MAX {
            return recognize(user_agent);
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(user_agent) {
            return known.clone();
        }
        if clients.len() >= USER_AGENTS_MAX {
            clients.clear();
        }
        clients.entry(user_agent.to_owned()).or_insert_with(|| recognize(user_agent)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Database;

    #[test]
    fn what_is_remembered_holds_for_the_same_data_alone() {
        let recent = Recent::default();
        let snapshot = Database::open(&[]).expect("the embedded default").snapshot();
        let (none, other) = (Arc::new(Overrides::default()), Arc::new(Overrides::default()));
        let with = |asn| Enriched { asn: Some(asn), ..Enriched::default() };
        let asked = Asked {
            address: IpAddr::from([192, 0, 2, 1]),
            name: None,
            user_agent: Some("curl/8"),
            is_mirrored: false,
            month: None,
        };
        let of = |asked: &Asked<'_>, overrides, asn| {
            let complete = |place| Enriched { client: asked.user_agent.map(str::to_owned), ..place };
            let enriched = recent.enriched(asked, (&snapshot, overrides), || with(asn), complete);
            (enriched.asn, enriched.client.clone())
        };
        let curl = || Some("curl/8".to_owned());
        assert_eq!(of(&asked, &none, 1), (Some(1), curl()));
        assert_eq!(of(&asked, &none, 2), (Some(1), curl()), "it is remembered");
        let wget = Asked { user_agent: Some("Wget/1"), ..asked };
        assert_eq!(of(&wget, &none, 2), (Some(1), Some("Wget/1".to_owned())), "the same address, another program");
        assert_eq!(of(&asked, &other, 3), (Some(3), curl()), "other overrides may say otherwise");
        let name = Arc::from("acme.example");
        let named = Asked { name: Some(&name), ..asked };
        assert_eq!(of(&named, &other, 4), (Some(4), curl()), "its name was learned meanwhile");
        assert_eq!(of(&named, &other, 5), (Some(4), curl()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_same_as_what_is_derived() {
        let recent = Recent::default();
        for number in 0..USER_AGENTS_MAX + 10 {
            let user_agent = format!("curl/8.{number}.0");
            assert_eq!(recent.client(&user_agent), recognize(&user_agent));
            assert_eq!(recent.client(&user_agent), recognize(&user_agent), "the second time too");
        }
        assert!(recent.clients.lock().expect("nobody panics with it").len() <= USER_AGENTS_MAX);
        let long = format!("curl/8.5.0 {}", "x".repeat(USER_AGENT_BYTES_MAX));
        assert_eq!(recent.client(&long), recognize(&long));
    }
}
