//! Whether the files that a configuration names for the gateway can be used.

use whopulls_schemas::config::Config;

use super::authorities;
use super::server::GatewayError;
use super::tls::check_certificates;
use super::upstream::credentials;

/// Reads the certificates of the gateway, and the authorities and passwords of its upstreams. Nothing is made and nobody is asked.
///
/// # Errors
/// All certificates that cannot be used, or the first other file.
pub fn check_files(config: &Config) -> Result<(), GatewayError> {
    check_certificates(config)?;
    for upstream in &config.upstreams {
        if let Some(path) = &upstream.ca_file {
            let failed = |source| GatewayError::UpstreamFile { path: path.clone(), source };
            authorities::read(path).map_err(failed)?;
        }
        credentials(upstream)?;
    }
    Ok(())
}
