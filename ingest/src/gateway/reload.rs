//! What a running gateway takes from a new configuration, and what it cannot change before a restart.

use whopulls_schemas::config::{Config, GatewayConfig};

/// A configuration that cannot be taken while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReloadError {
    /// There is no gateway in it.
    #[error("the configuration has no [gateway] any more; to stop the gateway, stop the process")]
    NoGateway,
}

/// Puts back in `new` what cannot change while running to what `running` has, and names it.
///
/// # Errors
/// There is no gateway in `new`.
pub(crate) fn keep_started(running: &Config, new: &mut Config) -> Result<Vec<&'static str>, ReloadError> {
    let mut kept = Kept(Vec::new());
    kept.put_back("data", &running.data, &mut new.data);
    let started = running.gateway.as_ref().ok_or(ReloadError::NoGateway)?;
    keep_started_gateway(&mut kept, started, new.gateway.as_mut().ok_or(ReloadError::NoGateway)?);
    kept.put_back("tls.acme", &running.tls.acme, &mut new.tls.acme);
    kept.put_back("cache.dir", &running.cache.dir, &mut new.cache.dir);
    kept.put_back("cache.bytes_max", &running.cache.bytes_max, &mut new.cache.bytes_max);
    kept.put_back("cache.item_bytes_max", &running.cache.item_bytes_max, &mut new.cache.item_bytes_max);
    kept.put_back("spool", &running.spool, &mut new.spool);
    kept.put_back("kafka", &running.kafka, &mut new.kafka);
    kept.put_back("enrich", &running.enrich, &mut new.enrich);
    kept.put_back("lake", &running.lake, &mut new.lake);
    kept.put_back("serve", &running.serve, &mut new.serve);
    Ok(kept.0)
}

fn keep_started_gateway(kept: &mut Kept, running: &GatewayConfig, new: &mut GatewayConfig) {
    kept.put_back("gateway.listen", &running.listen, &mut new.listen);
    kept.put_back("gateway.tls_listen", &running.tls_listen, &mut new.tls_listen);
    kept.put_back("gateway.admin_listen", &running.admin_listen, &mut new.admin_listen);
    kept.put_back("gateway.proxy_protocol", &running.proxy_protocol, &mut new.proxy_protocol);
    kept.put_back("gateway.threads", &running.threads, &mut new.threads);
    kept.put_back("gateway.connections_max", &running.connections_max, &mut new.connections_max);
    kept.put_back("gateway.key_file", &running.key_file, &mut new.key_file);
}

struct Kept(Vec<&'static str>);

impl Kept {
    fn put_back<T: PartialEq + Clone>(&mut self, name: &'static str, running: &T, new: &mut T) {
        if running != new {
            new.clone_from(running);
            self.0.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str =
        "data = \"d\"\n[gateway]\nlisten = \"127.0.0.1:1\"\nconnections_max = 7\n[kafka]\nbrokers = \"b:1\"\n";

    fn config(text: &str) -> Config {
        Config::parse("test", text, &[]).expect("the configuration is good")
    }

    #[track_caller]
    fn check(new: &str, expected: &[&str]) -> Config {
        let mut new = config(new);
        assert_eq!(keep_started(&config(RUNNING), &mut new).as_deref(), Ok(expected));
        assert_eq!(keep_started(&config(RUNNING), &mut new).as_deref(), Ok([].as_slice()), "it was put back");
        new
    }

    #[test]
    fn an_unchanged_file_asks_for_no_restart() {
        check(RUNNING, &[]);
    }

    #[test]
    fn what_asks_for_a_restart_is_named_and_put_back() {
        let new = RUNNING.replace(":1\"\nconn", ":2\"\nadmin_listen = \"127.0.0.1:9\"\nconn").replace("\"d\"", "\"e\"");
        let kept = check(&new, &["data", "gateway.listen", "gateway.admin_listen"]);
        assert_eq!(kept.gateway, config(RUNNING).gateway);
        check(&RUNNING.replace("b:1", "b:2"), &["kafka"]);
        check(&RUNNING.replace("[kafka]\nbrokers = \"b:1\"", "[spool]\nage_max_h = 3"), &["spool", "kafka"]);
    }

    #[test]
    fn what_can_change_is_left_as_it_is() {
        let new = RUNNING
            .replace("connections_max = 7\n", "connections_max = 7\nheader_timeout_s = 3\nquery_keys = [\"v\"]\n")
            + "[privacy]\noperator = \"x\"\n[cache]\nttl_s = 5\n";
        let taken = check(&new, &[]);
        let gateway = taken.gateway.expect("it is there");
        assert_eq!((gateway.header_timeout_s, gateway.query_keys), (3, vec!["v".to_owned()]));
        assert_eq!((taken.privacy.operator.as_deref(), taken.cache.ttl_s), (Some("x"), 5));
    }

    #[test]
    fn a_configuration_without_a_gateway_is_not_taken() {
        assert_eq!(keep_started(&config(RUNNING), &mut config("data = \"d\"")), Err(ReloadError::NoGateway));
    }
}
