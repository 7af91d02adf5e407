//! The environment, where the credentials of object stores stand.

use std::collections::BTreeMap;

/// Prefixes of the variables that `object_store` knows.
const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// The settings of object stores that the environment holds, by `object_store`'s own names (`AWS_ACCESS_KEY_ID` is
/// `aws_access_key_id`), with `options` over them. `object_store::parse_url_opts` does not look there itself.
pub fn store_options(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    merge(
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
        options,
    )
}

fn merge(
    environment: impl Iterator<Item = (String, String)>,
    options: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let known = environment.filter(|(key, _)| PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    let known = known.map(|(key, value)| (key.to_ascii_lowercase(), value));
    known.chain(options.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_goes_over_the_environment_and_nothing_else_of_it_is_taken() {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let environment = [("AWS_REGION", "a"), ("AWS_ACCESS_KEY_ID", "k"), ("PATH", "/bin")].map(pair);
        let options = BTreeMap::from([("aws_region", "b"), ("Aws_Allow_Http", "true")].map(pair));
        let expected = [("aws_region", "b"), ("aws_access_key_id", "k"), ("aws_allow_http", "true")].map(pair);
        assert_eq!(merge(environment.into_iter(), &options), BTreeMap::from(expected));
    }
}
