//! What holds for any bytes that come from outside. Each property is a function that panics where it does not hold; the tests run it
//! on made-up input, the fuzz targets of `ingest/fuzz` on whatever leads to new code.

mod client;
mod index;
mod kept;
mod oci;
mod plain;
mod proxy;
mod record;
mod redirect;
mod upstream;

pub use client::a_client_cannot_write_its_own_address;
pub use index::{
    a_helm_indexs_charts_are_found_again, a_path_of_an_index_never_climbs, a_python_pages_links_lead_back_to_its_files,
    an_npm_documents_tarballs_are_found_again,
};
pub use kept::{
    a_file_of_the_cache_is_refused_or_reads_back, a_signed_url_is_not_handed_out_for_long,
    a_token_is_read_as_it_was_made_or_not_at_all, an_object_that_is_taken_fits_into_a_record,
};
pub use oci::a_registry_path_is_read_whole_or_not_at_all;
pub use plain::a_plain_request_is_what_the_general_way_reads;
pub use proxy::a_proxy_header_is_read_to_its_end_and_no_further;
pub use record::a_record_is_bounded_reads_back_and_keeps_no_secret;
pub use redirect::{any_rules_answer_any_request, no_path_changes_the_host_of_a_redirect};
pub use upstream::an_upstreams_answer_is_read_within_bounds;

/// The lines of the input, so that seeds can be written by hand; nothing for bytes that are no text.
fn lines(bytes: &[u8]) -> Option<impl Iterator<Item = &str>> {
    Some(str::from_utf8(bytes).ok()?.split('\n'))
}
