//! What unit tests share: YAML to configuration, and TLS material.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use mesh_config::{
    load,
    snapshot::{Builder, ConfigSnapshot},
};
use rcgen::{CertificateParams, KeyPair};

pub(crate) fn snapshot(yaml: &str) -> Arc<ConfigSnapshot> {
    let loaded = load::documents("test.yaml", yaml.as_bytes());
    assert!(!loaded.has_errors(), "{}", loaded.diagnostics.iter().map(ToString::to_string).collect::<String>());
    loaded.objects.into_iter().map(|object| object.resource).collect::<Builder>().build()
}

/// A certificate and its key, PEM.
pub(crate) fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.example.com".into()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A Secret with these values.
pub(crate) fn secret(namespace: &str, name: &str, values: &[(&str, &str)]) -> String {
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n");
    for (key, value) in values {
        text.push_str(&format!("  {key}: |\n"));
        value.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}
