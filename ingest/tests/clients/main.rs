//! Real clients pull through the gateway, over HTTPS, from a registry that wants a token and keeps layers elsewhere. What the
//! gateway recorded of each is compared with `docs/clients.md`.

mod artifacts;
mod authority;
mod by_hand;
mod conformance;
mod containerd;
mod docker;
mod events;
mod images;
mod matrix;
mod oci;
mod packages;
mod page;
mod program;
mod splitter;
mod stage;
mod storage;

#[expect(dead_code, reason = "these tests need a part of what the other binary's do")]
#[path = "../it/registry.rs"]
mod registry;
#[expect(dead_code, reason = "these tests need a part of what the other binary's do")]
#[path = "../it/secure.rs"]
mod secure;
#[expect(dead_code, reason = "these tests need a part of what the other binary's do")]
#[path = "../it/support.rs"]
mod support;
