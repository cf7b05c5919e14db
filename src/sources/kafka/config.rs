//! Settings in the words of the client library.

use std::path::Path;

use rdkafka::ClientConfig;

use super::settings::KafkaInput;
use crate::model::Secret;
use crate::sources::SourceError;
use crate::stores::{VerificationMode, read_secret};

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
        let key = "input.kafka.sasl.password_file";
        let password = read_secret(sasl.password.as_ref(), sasl.password_file.as_ref(), key)?;
        config
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", password.as_ref().map_or("", Secret::reveal));
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
