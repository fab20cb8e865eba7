//! Secrets of users' as SDS resources: those that a proxy's listeners and clusters name, and of them those that it may have.

use std::collections::BTreeSet;

use mesh_proto::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{CertificateValidationContext, Secret, TlsCertificate, secret::Type},
};

use crate::{
    scope::ProxyScope,
    world::{Material, Withheld, World},
};

/// A secret that a proxy's configuration asks for and that it does not get; [`Refusal::effect`] says what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The SDS name.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: Withheld,
}

impl Refusal {
    /// What the proxy does.
    pub(crate) fn effect(&self) -> &'static str {
        match self.reason {
            Withheld::Unselected => "clusters of the rule have no endpoints: no connection is made",
            // A secret that is no longer served is not taken back: proxies keep what is in force.
            _ => "a proxy that already has it keeps it, the last good one; where a proxy has none, TLS that needs it fails",
        }
    }
}

/// The secrets of these names, and those that are withheld.
pub(crate) fn secrets(world: &World, scope: &ProxyScope, names: BTreeSet<String>) -> (Vec<Secret>, Vec<Refusal>) {
    let (mut served, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        match world.secret(scope, &name) {
            Ok(material) => served.push(Secret { name, r#type: Some(wire(material)) }),
            Err(reason) => refused.push(Refusal { name, reason }),
        }
    }
    (served, refused)
}

fn wire(material: Material<'_>) -> Type {
    match material {
        Material::Pair { chain, key } => {
            Type::TlsCertificate(TlsCertificate { certificate_chain: inline(chain), private_key: inline(key), ..Default::default() })
        }
        Material::Bundle { roots, crl } => Type::ValidationContext(CertificateValidationContext {
            trusted_ca: inline(roots),
            crl: crl.and_then(inline),
            ..Default::default()
        }),
    }
}

fn inline(bytes: &[u8]) -> Option<DataSource> {
    Some(DataSource { specifier: Some(Specifier::InlineBytes(bytes.to_vec())), ..Default::default() })
}
