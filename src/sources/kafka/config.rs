//! Settings in the words of the client library.

use std::path::Path;

use rdkafka::ClientConfig;

use super::settings::{KafkaInput, Sasl};
use crate::sources::SourceError;
use crate::stores::VerificationMode;

/// How to reach the brokers, for consumers and producers.
///
/// # Errors
/// When the file of the password cannot be read.
pub fn client_config(settings: &KafkaInput) -> Result<ClientConfig, SourceError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", unique(&settings.client_id));
    secure(&mut config, settings)?;
    Ok(config)
}

/// A name that no other worker has: equal ones make brokers mix members up.
fn unique(client_id: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{client_id}-{}-{}", host.trim(), std::process::id())
}

fn secure(config: &mut ClientConfig, settings: &KafkaInput) -> Result<(), SourceError> {
    let protocol = match (&settings.sasl, &settings.ssl) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    config.set("security.protocol", protocol);
    if let Some(sasl) = &settings.sasl {
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", password(sasl)?);
    }
    if let Some(ssl) = &settings.ssl {
        let text = |path: &Path| path.display().to_string();
        let authority = ssl.certificate_authority.as_deref();
        config.set("ssl.ca.location", authority.map_or_else(|| "probe".to_owned(), text));
        if let (Some(certificate), Some(key)) = (&ssl.certificate, &ssl.key) {
            config.set("ssl.certificate.location", text(certificate));
            config.set("ssl.key.location", text(key));
        }
        let checks = ssl.verification_mode == VerificationMode::Full;
        config.set("enable.ssl.certificate.verification", checks.to_string());
        let host = if checks { "https" } else { "none" };
        config.set("ssl.endpoint.identification.algorithm", host);
    }
    Ok(())
}

fn password(sasl: &Sasl) -> Result<String, SourceError> {
    if let Some(password) = &sasl.password {
        return Ok(password.reveal().to_owned());
    }
    let path = sasl.password_file.clone().unwrap_or_default();
    let text = std::fs::read_to_string(&path).map_err(|error| SourceError::Open { path, error })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
