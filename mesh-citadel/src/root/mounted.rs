//! Istio's plug-in certificates: the four files of the Secret `cacerts`.

use std::path::Path;
use std::time::SystemTime;

use mesh_runtime::tls::Trust;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{CERTIFICATE, CHAIN, Error, KEY, ROOTS, check_signer, read_certificates, read_key, unusable};
use crate::ca::Material;

pub(super) fn load(folder: &Path, now: SystemTime) -> Result<Material, Error> {
    let path = folder.join(CERTIFICATE);
    let certificates = read_certificates(&path)?;
    let Some(certificate) = certificates.first() else {
        return Err(unusable(&path, "holds no certificate"));
    };
    let key = read_key(&folder.join(KEY))?;
    check_signer(&path, certificate, &key, now)?;

    let roots_path = folder.join(ROOTS);
    let roots = read_certificates(&roots_path)?;
    let trust = Trust::from_der(roots.clone()).map_err(|error| unusable(&roots_path, error.to_string()))?;

    let chain = chain(folder, &certificates)?;
    let intermediates: Vec<_> = chain.into_iter().filter(|link| !roots.contains(link)).collect();
    if !roots.contains(certificate) {
        check_chain(&path, certificate, &intermediates, &trust, now)?;
    }
    Ok(Material { certificate: certificate.clone(), key, intermediates, roots })
}

/// The signing certificate and what follows it. Istio's `cert-chain.pem` begins with the signing certificate; one that
/// does not is completed, and without one `ca-cert.pem` itself may hold the chain.
fn chain(folder: &Path, certificates: &[CertificateDer<'static>]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let path = folder.join(CHAIN);
    let mut chain = match read_certificates(&path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    if chain.is_empty() {
        return Ok(certificates.to_vec());
    }
    if !chain.contains(&certificates[0]) {
        chain.insert(0, certificates[0].clone());
    }
    Ok(chain)
}

/// An intermediate that does not lead to the roots would sign certificates that nobody believes: say so at the start. webpki
/// verifies leaves, not authorities; so the question is asked of the links, each signed by the next or by a root.
fn check_chain(
    path: &Path,
    certificate: &CertificateDer<'static>,
    intermediates: &[CertificateDer<'static>],
    trust: &Trust,
    now: SystemTime,
) -> Result<(), Error> {
    let pool: Vec<_> = intermediates.iter().chain(trust.roots()).collect();
    let mut link = certificate;
    for _ in 0..=pool.len() {
        let (_, parsed) = x509_parser::parse_x509_certificate(link).map_err(|error| unusable(path, error.to_string()))?;
        let issuer = pool.iter().copied().find(|candidate| {
            *candidate != link
                && x509_parser::parse_x509_certificate(candidate).is_ok_and(|(_, candidate)| {
                    candidate.subject() == parsed.issuer()
                        && parsed.verify_signature(Some(candidate.public_key())).is_ok()
                        && candidate.validity().not_after.to_datetime() > OffsetDateTime::from(now)
                })
        });
        match issuer {
            Some(issuer) if trust.roots().contains(issuer) => return Ok(()),
            Some(issuer) => link = issuer,
            None => break,
        }
    }
    let reason = format!("no valid chain leads from it to {ROOTS}: check {CHAIN} and the expiry of its certificates");
    Err(unusable(path, reason))
}
