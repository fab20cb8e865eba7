//! Secrets from the wire: parsed, verified against themselves, and put where TLS settings look for them. No key ever prints.

use std::{collections::HashMap, sync::Arc};

use mesh_proto::envoy::extensions::transport_sockets::tls::v3::{Secret as WireSecret, TlsCertificate, secret::Type};
use mesh_runtime::tls::material::pem_problem;
use rustls::{RootCertStore, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    context::{Context, Result, ignored, refused},
    scalar::{self, Data},
    source::Source,
    tls,
};
use crate::secret::{Roots, Secret, SecretRef};

/// Where an SDS secret comes from.
pub(crate) type SecretSource = Source;

/// All places of secrets: one for each SDS name, for the life of the process, and one for each different inline or file secret.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    named: HashMap<Arc<str>, SecretRef>,
    made: HashMap<Arc<str>, Made>,
}

#[derive(Debug)]
struct Made {
    secret: SecretRef,
    files: Option<Files>,
}

/// Files that a secret was read from.
#[derive(Debug, Clone)]
enum Files {
    Certificate { chain: Arc<str>, key: Arc<str>, hash: u128 },
    Roots { roots: Arc<str>, hash: u128 },
}

impl Registry {
    /// The place of the SDS secret of that name.
    pub(crate) fn named(&mut self, name: &str) -> SecretRef {
        if let Some(secret) = self.named.get(name) {
            return secret.clone();
        }
        let secret = SecretRef::new(name);
        self.named.insert(secret.name().clone(), secret.clone());
        secret
    }

    /// The place of an SDS secret, if anything refers to it.
    pub(crate) fn known(&self, name: &str) -> Option<&SecretRef> {
        self.named.get(name)
    }

    /// Reads file secrets again and puts in force what changed and is whole.
    ///
    /// Returns what went wrong: the file's last good content stays in force.
    pub(crate) fn reload_files(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        for made in self.made.values_mut() {
            let Some(files) = &mut made.files else { continue };
            match files.reload() {
                Ok(Some(secret)) => made.secret.store(secret),
                Ok(None) => {}
                Err(reason) => failures.push(format!("{}: {reason}", made.secret.name())),
            }
        }
        failures
    }

    /// Forgets inline and file secrets that nothing holds any more.
    pub(crate) fn sweep(&mut self) {
        self.made.retain(|_, made| made.secret.holders() > 1);
    }

    fn made(
        &mut self,
        name: String,
        files: Option<Files>,
        secret: impl FnOnce() -> std::result::Result<Secret, String>,
    ) -> std::result::Result<SecretRef, String> {
        if let Some(made) = self.made.get(name.as_str()) {
            return Ok(made.secret.clone());
        }
        let place = SecretRef::new(name);
        place.store(secret()?);
        self.made.insert(place.name().clone(), Made { secret: place.clone(), files });
        Ok(place)
    }
}

impl Files {
    fn reload(&mut self) -> std::result::Result<Option<Secret>, String> {
        let read = |path: &str| scalar::read(path).map_err(|error| format!("cannot read {path}: {error}"));
        match self {
            Self::Certificate { chain, key, hash } => {
                let (chain, key) = (read(chain)?, read(key)?);
                let now = pair_hash(&chain, &key);
                if now == *hash {
                    return Ok(None);
                }
                let secret = certified(&chain, &key)?;
                *hash = now;
                Ok(Some(secret))
            }
            Self::Roots { roots, hash } => {
                let roots = read(roots)?;
                let now = xxh3_128(&roots);
                if now == *hash {
                    return Ok(None);
                }
                let secret = roots_of(&roots)?;
                *hash = now;
                Ok(Some(secret))
            }
        }
    }
}

/// The place of a certificate in the configuration itself, or in files that it names.
pub(crate) fn certificate(cx: &mut Context<'_>, wire: &TlsCertificate) -> Result<SecretRef> {
    let (chain, key) = chain_and_key(cx, wire)?;
    let hash = pair_hash(&chain.bytes, &key.bytes);
    let (name, files) = match (&chain.file, &key.file) {
        (Some(chain), Some(key)) => {
            (format!("file:{chain},{key}"), Some(Files::Certificate { chain: chain.clone(), key: key.clone(), hash }))
        }
        _ => (format!("inline:{hash:032x}"), None),
    };
    cx.secrets().made(name, files, || certified(&chain.bytes, &key.bytes)).map_err(|reason| cx.refuse(reason))
}

/// The place of a trust bundle in the configuration itself, or in a file that it names.
pub(crate) fn roots(cx: &mut Context<'_>, data: &Data) -> Result<SecretRef> {
    let hash = xxh3_128(&data.bytes);
    let (name, files) = match &data.file {
        Some(file) => (format!("file:{file}"), Some(Files::Roots { roots: file.clone(), hash })),
        None => (format!("inline:{hash:032x}"), None),
    };
    cx.secrets().made(name, files, || roots_of(&data.bytes)).map_err(|reason| cx.refuse(reason))
}

/// An SDS resource.
pub(crate) fn resource(cx: &mut Context<'_>, wire: &WireSecret) -> Result<Secret> {
    let WireSecret { name: _, r#type } = wire;
    match r#type {
        None => Err(cx.refuse("is empty")),
        Some(Type::TlsCertificate(wire)) => cx.field("tls_certificate", |cx| {
            let (chain, key) = chain_and_key(cx, wire)?;
            certified(&chain.bytes, &key.bytes).map_err(|reason| cx.refuse(reason))
        }),
        Some(Type::ValidationContext(wire)) => cx.field("validation_context", |cx| {
            let (bundle, crl) = tls::bundle_only(cx, wire)?;
            let crl = crl.map(|data| revocations(&data.bytes).map(|()| data.bytes.into()));
            let crl = crl.transpose().map_err(|reason| cx.refuse_field("crl", reason))?;
            match roots_of(&bundle.bytes).map_err(|reason| cx.refuse_field("trusted_ca", reason))? {
                Secret::Roots(roots) => Ok(Secret::Roots(Roots { crl, ..roots })),
                other => Ok(other),
            }
        }),
        Some(Type::SessionTicketKeys(_)) => Err(cx.refuse_field("session_ticket_keys", "are not implemented")),
        Some(Type::GenericSecret(_)) => Err(cx.refuse_field("generic_secret", "is not implemented")),
    }
}

fn chain_and_key(cx: &mut Context<'_>, wire: &TlsCertificate) -> Result<(Data, Data)> {
    let TlsCertificate {
        certificate_chain,
        private_key,
        pkcs12,
        watched_directory,
        private_key_provider,
        password,
        ocsp_staple,
        signed_certificate_timestamp,
        tls_params,
    } = wire;
    // Files are watched whatever this says.
    let _ = watched_directory;
    ignored!(cx; ocsp_staple, signed_certificate_timestamp);
    refused!(cx; "give certificate_chain and private_key in PEM, not encrypted"; pkcs12, private_key_provider, password);
    refused!(cx; "the certificate would be used with other parameters"; tls_params);
    let chain = certificate_chain.as_ref().ok_or_else(|| cx.refuse_field("certificate_chain", "is missing"))?;
    let key = private_key.as_ref().ok_or_else(|| cx.refuse_field("private_key", "is missing"))?;
    Ok((scalar::data(cx, "certificate_chain", chain)?, scalar::data(cx, "private_key", key)?))
}

fn pair_hash(chain: &[u8], key: &[u8]) -> u128 {
    xxh3_128(&[&xxh3_128(chain).to_le_bytes()[..], &xxh3_128(key).to_le_bytes()[..]].concat())
}

/// A certificate chain with its key, from PEM.
pub(crate) fn certified(chain: &[u8], key: &[u8]) -> std::result::Result<Secret, String> {
    let certificates = pem_certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the private key is not PEM (PKCS#8, PKCS#1 or SEC1)".to_owned())?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| "the private key is of a kind that is not supported (ECDSA P-256/384/521, RSA, Ed25519 are)".to_owned())?;
    let certified = CertifiedKey::new(certificates, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Secret::Certificate(Arc::new(certified))),
        Err(_) => Err("the private key does not belong to the certificate".to_owned()),
    }
}

/// A trust bundle, from PEM.
pub(crate) fn roots_of(pem: &[u8]) -> std::result::Result<Secret, String> {
    let certificates = pem_certificates(pem)?;
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        store.add(certificate.clone()).map_err(|error| format!("certificate {index} of the bundle: {error}"))?;
    }
    Ok(Secret::Roots(Roots { store: store.into(), certificates: certificates.into(), crl: None }))
}

/// Whether a text holds revocation lists that can be used.
fn revocations(pem: &[u8]) -> std::result::Result<(), String> {
    crate::tls::revocations(pem).map(drop).map_err(|error| error.to_string())
}

fn pem_certificates(pem: &[u8]) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| format!("is not PEM: {}", pem_problem(&error)))?;
    if certificates.is_empty() { Err("holds no PEM certificate".to_owned()) } else { Ok(certificates) }
}
