//! The configuration that the compose file mounts.

use whopulls_schemas::config::Config;

#[test]
fn the_configuration_of_the_compose_file_has_no_mistake() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/compose.toml");
    let text = std::fs::read_to_string(path).expect("the configuration");
    let config = Config::parse(path, &text, &[]).expect("no mistakes");
    assert!(config.kafka.is_some() && config.gateway.is_some() && config.lake.url.is_some());
}
