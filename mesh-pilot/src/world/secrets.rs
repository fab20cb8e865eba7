//! The TLS material of Secrets, and which proxy may have what of it.
//!
//! A name means a Secret of the proxy's own namespace unless it says another (Istio's `kubernetes://[namespace/]name`); a name that ends with `-cacert` means
//! the CA bundle of the Secret of exactly that name, or of the one without the suffix. Only a proxy whose certificate has proven its namespace gets anything, and
//! only of that namespace: there is no grant yet that opens another. Labels select the Gateways that name a Secret, so they must not be the proxy's own word:
//! the registry has to know its workload (`MeshSettings::trust_claimed_labels` is for meshes where it does not know gateways).

use std::{collections::BTreeMap, fmt};

use mesh_config::{
    resource::{
        Key,
        kubernetes::{
            Secret,
            secret::{Bytes, Ca, Tls},
        },
    },
    snapshot::ConfigSnapshot,
};

use crate::scope::ProxyScope;

/// The suffix of the SDS name of a CA bundle.
pub(crate) const BUNDLE: &str = "-cacert";
/// The schemes that mean a Secret.
const SCHEMES: [&str; 2] = ["kubernetes://", "kubernetes-gateway://"];

/// By key, the Secrets that have something for TLS.
#[derive(Default)]
pub(super) struct Index(BTreeMap<Key, Held>);

/// What a Secret has; what is not in order was refused before, and is here as good as not there.
struct Held {
    tls: Option<Tls>,
    ca: Option<Ca>,
}

/// What an SDS name means to a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Material<'w> {
    /// A certificate chain, leaf first, with its key; PEM.
    Pair {
        /// The chain.
        chain: &'w [u8],
        /// The key.
        key: &'w [u8],
    },
    /// A CA bundle, with revocation lists; PEM.
    Bundle {
        /// The CAs.
        roots: &'w [u8],
        /// What they have revoked.
        crl: Option<&'w [u8]>,
    },
}

/// Why a proxy does not get a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// On the plaintext port nobody is anybody.
    #[error("the proxy has not proven who it is: secrets are served over mutual TLS only")]
    Unauthenticated,
    /// Nobody but the proxy says what it is.
    #[error(
        "no workload of the proxy's namespace and service account is known at its address, and the labels that it claims do not count: add a WorkloadEntry with address, labels and serviceAccount"
    )]
    Unregistered,
    /// A Secret of another namespace.
    #[error("it is in namespace {theirs}, and the proxy's certificate is for namespace {own}: put a copy of the Secret into {own}")]
    Foreign {
        /// The Secret's namespace.
        theirs: String,
        /// The proxy's.
        own: String,
    },
    /// Neither Galley nor Pilot knows it.
    #[error("there is no Secret {0} with TLS material in it: create it, of type kubernetes.io/tls")]
    Missing(Key),
    /// The Secret is there and lacks what is asked for.
    #[error("the Secret {key} has no {wanted}")]
    Incomplete {
        /// Which.
        key: Key,
        /// What is asked for.
        wanted: &'static str,
    },
    /// A DestinationRule without a workload selector, at a sidecar.
    #[error(
        "a DestinationRule's credentialName holds at gateways, and at sidecars only if the rule has a workloadSelector: give it one, or put the certificates into files"
    )]
    Unselected,
    /// A name that means no Secret.
    #[error("only names of Secrets are served (`name` or `kubernetes://[namespace/]name`)")]
    Unsupported,
}

/// A parsed SDS name.
struct Reference<'n> {
    namespace: Option<&'n str>,
    name: &'n str,
}

impl<'n> Reference<'n> {
    fn parse(text: &'n str) -> Option<Self> {
        let path = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme))?;
        let (namespace, name) = path.split_once('/').map_or((None, path), |(namespace, name)| (Some(namespace), name));
        let whole = !name.is_empty() && !name.contains('/') && namespace.is_none_or(|namespace| !namespace.is_empty());
        whole.then_some(Self { namespace, name })
    }
}

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot) -> Self {
        let held = |secret: &Secret| Held { tls: Tls::of(secret).ok(), ca: Ca::of(secret).ok() };
        Self(snapshot.list::<Secret>().map(|object| (object.meta.key(), held(&object.spec))).collect())
    }

    /// `known`: the registry, or an operator's setting, vouches for the proxy's labels.
    pub(super) fn find(&self, scope: &ProxyScope, known: bool, name: &str) -> Result<Material<'_>, Withheld> {
        if !scope.is_authenticated {
            return Err(Withheld::Unauthenticated);
        }
        if !known {
            return Err(Withheld::Unregistered);
        }
        let reference = Reference::parse(name).ok_or(Withheld::Unsupported)?;
        let own = scope.namespace.as_str();
        let namespace = reference.namespace.unwrap_or(own);
        if namespace != own {
            return Err(Withheld::Foreign { theirs: namespace.to_owned(), own: own.to_owned() });
        }
        let find = |name: &str| {
            let key = Key::new(namespace, name);
            self.0.get(&key).ok_or_else(|| Withheld::Missing(key.clone())).map(|held| (key, held))
        };
        match reference.name.strip_suffix(BUNDLE) {
            Some(stem) => {
                let (key, held) = find(reference.name).or_else(|_| find(stem))?;
                let ca = held.ca.as_ref().ok_or(Withheld::Incomplete { key, wanted: "CA bundle (ca.crt or cacert)" })?;
                Ok(Material::Bundle { roots: ca.bundle.expose(), crl: ca.crl.as_ref().map(Bytes::expose) })
            }
            None => {
                let (key, held) = find(reference.name)?;
                let wanted = "certificate with its key (tls.crt and tls.key, or cert and key)";
                let tls = held.tls.as_ref().ok_or(Withheld::Incomplete { key, wanted })?;
                Ok(Material::Pair { chain: tls.chain.expose(), key: tls.key.expose() })
            }
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys().map(ToString::to_string)).finish()
    }
}

#[cfg(test)]
mod tests;
