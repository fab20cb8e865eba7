//! The certificates scenarios may name, made anew for every run: an authority `ca`, one nobody trusts (`other-ca`), and leaves of both.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Name, issuer, DNS names, URIs.
const LEAVES: &[(&str, &str, &[&str], &[&str])] = &[
    ("server", "ca", &["test.example"], &[]),
    ("server-b", "ca", &["b.example", "*.wild.example"], &[]),
    ("backend", "ca", &["backend.example"], &["spiffe://cluster.local/ns/default/sa/backend"]),
    ("client", "ca", &[], &["spiffe://cluster.local/ns/default/sa/client"]),
    ("other-client", "ca", &[], &["spiffe://cluster.local/ns/other/sa/other"]),
    ("stranger", "other-ca", &[], &["spiffe://cluster.local/ns/default/sa/client"]),
];

/// A leaf with its key.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// All of them, in memory for our clients and backends, and as `NAME.pem`, `NAME.key` in a folder for the proxies.
#[derive(Debug)]
pub(super) struct Certificates {
    leaves: BTreeMap<&'static str, Leaf>,
    /// The authority that proxies trust.
    pub(super) root: CertificateDer<'static>,
}

impl Certificates {
    /// Makes them and writes them to `folder`.
    pub(super) fn create(folder: &Path) -> Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        let mut issuers = BTreeMap::new();
        let mut root = None;
        for name in ["ca", "other-ca"] {
            let (der, pem, issuer) = authority(name)?;
            std::fs::write(folder.join(format!("{name}.pem")), pem)?;
            root.get_or_insert(der);
            issuers.insert(name, issuer);
        }
        let mut leaves = BTreeMap::new();
        for (name, issuer, dns, uris) in LEAVES {
            let issuer = issuers.get(issuer).context("no such issuer")?;
            leaves.insert(*name, leaf(folder, name, issuer, dns, uris)?);
        }
        Ok(Arc::new(Self { leaves, root: root.context("no authority")? }))
    }

    /// The leaf of that name.
    pub(super) fn leaf(&self, name: &str) -> Result<&Leaf> {
        self.leaves.get(name).with_context(|| format!("no certificate {name}"))
    }

    /// What a presented certificate is called here.
    pub(super) fn name_of(&self, presented: &[u8]) -> String {
        let found = self.leaves.iter().find(|(_, leaf)| leaf.certificate.as_ref() == presented);
        found.map_or_else(|| "unknown".to_owned(), |(name, _)| (*name).to_owned())
    }
}

fn authority(name: &str) -> Result<(CertificateDer<'static>, String, Issuer<'static, KeyPair>)> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), certificate.pem(), Issuer::new(params, key)))
}

fn leaf(folder: &Path, name: &str, issuer: &Issuer<'static, KeyPair>, dns: &[&str], uris: &[&str]) -> Result<Leaf> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    for name in dns {
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    for uri in uris {
        params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem())?;
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok(Leaf { certificate: certificate.der().clone(), key })
}
