//! A self-signed root of a local mesh: made once, kept in a private folder, shared by processes that start at once.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use mesh_proto::id::TrustDomain;
use rand::Rng as _;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, SerialNumber};

use super::{CERTIFICATE, Error, KEY, ROOTS, check_signer, io_error, read_certificates, read_key, unusable};
use crate::ca::Material;

const LOCK: &str = ".lock";
/// Istio's `CITADEL_SELF_SIGNED_CA_CERT_TTL`: ten years.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const SKEW: Duration = Duration::from_secs(120);

pub(super) fn load_or_create(folder: &Path, domain: &TrustDomain, now: SystemTime) -> Result<Material, Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))?;
    let lock = folder.join(LOCK);
    let held = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock).map_err(io_error(&lock))?;
    // Held until the end of this function: of two processes, one makes the root and the other reads it.
    held.lock().map_err(io_error(&lock))?;

    let (key_path, certificate_path) = (folder.join(KEY), folder.join(CERTIFICATE));
    let key = if exists(&key_path)? {
        check_private(&key_path)?;
        read_key(&key_path)?
    } else if exists(&certificate_path)? {
        return Err(unusable(&key_path, format!("missing, but {CERTIFICATE} is there: restore it, or remove the folder")));
    } else {
        let key = KeyPair::generate()?;
        write(&key_path, &key.serialize_pem(), 0o600)?;
        key
    };
    // A crash after the key and before the certificate leaves a key that signed nothing yet: go on from there.
    if !exists(&certificate_path)? {
        write(&certificate_path, &self_sign(&key, domain, now)?, 0o644)?;
    }
    let text = fs::read_to_string(&certificate_path).map_err(io_error(&certificate_path))?;
    // For people and for bootstraps that mount a root; remade if lost.
    if !exists(&folder.join(ROOTS))? {
        write(&folder.join(ROOTS), &text, 0o644)?;
    }
    let certificates = read_certificates(&certificate_path)?;
    let [certificate] = &certificates[..] else {
        return Err(unusable(&certificate_path, format!("holds {} certificates, expected one", certificates.len())));
    };
    check_signer(&certificate_path, certificate, &key, now)?;
    Ok(Material { certificate: certificate.clone(), key, intermediates: Vec::new(), roots: certificates.clone() })
}

fn self_sign(key: &KeyPair, domain: &TrustDomain, now: SystemTime) -> Result<String, Error> {
    let mut serial = [0; 16];
    rand::rng().fill_bytes(&mut serial);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, domain.as_str());
    params.distinguished_name.push(DnType::CommonName, "mesh root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - SKEW).into();
    params.not_after = (now + LIFETIME).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params.self_signed(key)?.pem())
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(io_error(path))
}

fn check_private(path: &Path) -> Result<(), Error> {
    let mode = fs::metadata(path).map_err(io_error(path))?.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(unusable(path, format!("others can read the signing key (mode {mode:04o}): chmod 600, or make a new mesh")))
}

/// Written aside and renamed, so that no reader and no crash sees half of it.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(&fresh)(error)),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&fresh).map_err(io_error(&fresh))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error(&fresh))?;
    fs::rename(&fresh, path).map_err(io_error(path))
}
