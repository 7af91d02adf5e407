//! What was derived of addresses and user agents a moment ago: the same ones come again and again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::{Client, USER_AGENT_BYTES_MAX, recognize};
use crate::event::Enriched;
use crate::geo::Snapshot;
use crate::overrides::Overrides;

/// Addresses that are remembered; at about 700 bytes each, 45 MB. Beyond it all are forgotten.
const ADDRESSES_MAX: usize = 1 << 16;
/// User agents that are remembered; at most some 1,100 bytes each, 18 MB.
const USER_AGENTS_MAX: usize = 1 << 14;

/// It. Only one thread derives at a time, so the locks are free.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    places: Mutex<Places>,
    clients: Mutex<HashMap<String, Client>>,
}

/// What was derived under one state of the data.
#[derive(Debug, Default)]
struct Places {
    under: Option<(Arc<Snapshot>, Arc<Overrides>)>,
    /// With the name under which it was derived.
    by_address: HashMap<IpAddr, (Option<Arc<str>>, Enriched)>,
}

impl Recent {
    /// What was derived of this address under these data and this name of it, or what `derive` gives.
    pub(crate) fn place(
        &self,
        address: IpAddr,
        name: Option<&Arc<str>>,
        snapshot: &Arc<Snapshot>,
        overrides: &Arc<Overrides>,
        derive: impl FnOnce() -> Enriched,
    ) -> Enriched {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |under: &(Arc<Snapshot>, Arc<Overrides>)| {
            Arc::ptr_eq(&under.0, snapshot) && Arc::ptr_eq(&under.1, overrides)
        };
        if !places.under.as_ref().is_some_and(is_same) {
            places.under = Some((Arc::clone(snapshot), Arc::clone(overrides)));
            places.by_address.clear();
        }
        if let Some((_, known)) = places.by_address.get(&address).filter(|(under, _)| under.as_ref() == name) {
            return known.clone();
        }
        if places.by_address.len() >= ADDRESSES_MAX {
            places.by_address.clear();
        }
        let derived = derive();
        places.by_address.insert(address, (name.cloned(), derived.clone()));
        derived
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
        let address = IpAddr::from([192, 0, 2, 1]);
        let place =
            |name: Option<&Arc<str>>, overrides, asn| recent.place(address, name, &snapshot, overrides, || with(asn));
        assert_eq!(place(None, &none, 1), with(1));
        assert_eq!(place(None, &none, 2), with(1), "it is remembered");
        assert_eq!(place(None, &other, 3), with(3), "other overrides may say otherwise");
        let name = Arc::from("acme.example");
        assert_eq!(place(Some(&name), &other, 4), with(4), "its name was learned meanwhile");
        assert_eq!(place(Some(&name), &other, 5), with(4));
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
