//! TLS as users ask for it: by files, or by the names of Secrets, which the control plane serves.

use mesh_config::resource::{
    destination_rule::{ClientTls, ClientTlsMode},
    gateway::{ServerTls, ServerTlsMode, TlsVersion},
};
use mesh_proto::envoy::{
    config::core::v3::{ConfigSource, TransportSocket},
    extensions::transport_sockets::tls::v3::{
        CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, TlsCertificate, TlsParameters,
        UpstreamTlsContext,
        common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
        tls_parameters::TlsProtocol,
    },
};

use super::{
    super::{
        names,
        wire::{ads, file, flag, transport_socket},
    },
    TLS, Traffic, local_secret, mesh_server, san,
};
use crate::{settings::MeshSettings, world::BUNDLE};

/// Istio's names of the workload's own certificate, given where a Secret's name would be.
const BUILTIN: &str = "builtin://";

/// The bundle of public CAs on Debian and most images, as Istio's bootstrap finds it.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a DestinationRule asks for, other than ISTIO_MUTUAL. `None`: plaintext.
pub(crate) fn user_client(tls: &ClientTls, traffic: Traffic) -> Option<TransportSocket> {
    if matches!(tls.mode, ClientTlsMode::Disable | ClientTlsMode::IstioMutual) {
        return None;
    }
    let alpn: &[&str] = match traffic {
        Traffic::Http2 => &["h2"],
        _ => &[],
    };
    let mut common = CommonTlsContext { alpn_protocols: alpn.iter().map(|text| (*text).to_owned()).collect(), ..Default::default() };
    let names = tls.subject_alt_names.iter().map(|name| san(name)).collect();
    if tls.credential_name.is_empty() {
        let verify = !tls.insecure_skip_verify.unwrap_or(false);
        if verify {
            let roots = if tls.ca_certificates.is_empty() || tls.ca_certificates == "system" { SYSTEM_ROOTS } else { &tls.ca_certificates };
            let crl = if tls.ca_crl.is_empty() { None } else { file(&tls.ca_crl) };
            common.validation_context_type = Some(ValidationContextType::ValidationContext(CertificateValidationContext {
                trusted_ca: file(roots),
                match_typed_subject_alt_names: names,
                crl,
                ..Default::default()
            }));
        }
        if tls.mode == ClientTlsMode::Mutual {
            common.tls_certificates = vec![certificate_files(&tls.client_certificate, &tls.private_key)];
        }
    } else {
        let Credentials { certificates, bundle } = Credentials::of_client(tls);
        common.tls_certificate_sds_secret_configs = certificates.into_iter().map(remote_secret).collect();
        common.validation_context_type = bundle.map(|bundle| {
            ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(CertificateValidationContext {
                    match_typed_subject_alt_names: names,
                    ..Default::default()
                }),
                validation_context_sds_secret_config: Some(remote_secret(bundle)),
                ..Default::default()
            })
        });
    }
    let context = UpstreamTlsContext { common_tls_context: Some(common), sni: tls.sni.clone(), ..Default::default() };
    Some(transport_socket(TLS, &context))
}

fn secret_name(credential: &str) -> String {
    if credential.contains("://") { credential.to_owned() } else { format!("kubernetes://{credential}") }
}

fn certificate_files(chain: &str, key: &str) -> TlsCertificate {
    TlsCertificate { certificate_chain: file(chain), private_key: file(key), ..Default::default() }
}

/// How a Gateway's server (or a Sidecar's ingress listener) ends TLS. `None`: it does not.
pub(crate) fn user_server(settings: &MeshSettings, tls: &ServerTls, http: bool) -> Option<TransportSocket> {
    match tls.mode {
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => return None,
        ServerTlsMode::IstioMutual => return Some(mesh_server(settings, http)),
        ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {}
    }
    let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &[] };
    let mut common = CommonTlsContext {
        alpn_protocols: alpn.iter().map(|text| (*text).to_owned()).collect(),
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: version(tls.min_protocol_version, TlsProtocol::TlSv12).into(),
            tls_maximum_protocol_version: version(tls.max_protocol_version, TlsProtocol::TlSv13).into(),
            cipher_suites: tls.cipher_suites.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let Credentials { certificates, bundle } = Credentials::of_server(tls);
    if certificates.is_empty() {
        common.tls_certificates = match tls.tls_certificates.as_slice() {
            [] => vec![certificate_files(&tls.server_certificate, &tls.private_key)],
            several => several.iter().map(|one| certificate_files(&one.server_certificate, &one.private_key)).collect(),
        };
    } else {
        common.tls_certificate_sds_secret_configs = certificates.into_iter().map(remote_secret).collect();
    }
    if verifies_clients(tls) {
        common.validation_context_type = Some(client_validation(tls, bundle));
    }
    let context = DownstreamTlsContext {
        common_tls_context: Some(common),
        require_client_certificate: flag(tls.mode == ServerTlsMode::Mutual),
        ..Default::default()
    };
    Some(transport_socket(TLS, &context))
}

fn client_validation(tls: &ServerTls, bundle: Option<String>) -> ValidationContextType {
    let rules = CertificateValidationContext {
        match_typed_subject_alt_names: tls.subject_alt_names.iter().map(|name| san(name)).collect(),
        verify_certificate_spki: tls.verify_certificate_spki.clone(),
        verify_certificate_hash: tls.verify_certificate_hash.clone(),
        crl: if tls.ca_crl.is_empty() { None } else { file(&tls.ca_crl) },
        ..Default::default()
    };
    match bundle {
        Some(name) => ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
            default_validation_context: Some(rules),
            validation_context_sds_secret_config: Some(remote_secret(name)),
            ..Default::default()
        }),
        None => ValidationContextType::ValidationContext(CertificateValidationContext { trusted_ca: file(&tls.ca_certificates), ..rules }),
    }
}

/// TLS 1.0 and 1.1 are broken and read as 1.2.
fn version(asked: TlsVersion, default: TlsProtocol) -> TlsProtocol {
    match asked {
        TlsVersion::Auto => default,
        TlsVersion::V1_0 | TlsVersion::V1_1 | TlsVersion::V1_2 => TlsProtocol::TlSv12,
        TlsVersion::V1_3 => TlsProtocol::TlSv13,
    }
}

/// A secret of a user's, from the control plane. Until it is served, connections that need it fail. Istio's `builtin://` is the workload's own.
fn remote_secret(name: String) -> SdsSecretConfig {
    match name.strip_prefix(BUILTIN) {
        Some(BUNDLE) => local_secret(names::SDS_ROOT),
        Some(_) => local_secret(names::SDS_DEFAULT),
        // A Secret may never come, and other servers of the listener must not wait for it for ever: after Envoy's default time (15 s) they do without (Istio).
        None => SdsSecretConfig { name, sds_config: Some(ConfigSource { initial_fetch_timeout: None, ..ads() }) },
    }
}

/// The SDS names of a TLS context.
#[derive(Default)]
struct Credentials {
    certificates: Vec<String>,
    bundle: Option<String>,
}

impl Credentials {
    fn of_client(tls: &ClientTls) -> Self {
        if tls.credential_name.is_empty() || matches!(tls.mode, ClientTlsMode::Disable | ClientTlsMode::IstioMutual) {
            return Self::default();
        }
        let name = secret_name(&tls.credential_name);
        Self {
            bundle: (!tls.insecure_skip_verify.unwrap_or(false)).then(|| format!("{name}{BUNDLE}")),
            certificates: if tls.mode == ClientTlsMode::Mutual { vec![name] } else { Vec::new() },
        }
    }

    fn of_server(tls: &ServerTls) -> Self {
        if !matches!(tls.mode, ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual) {
            return Self::default();
        }
        let names = std::iter::once(&tls.credential_name).chain(&tls.credential_names).filter(|name| !name.is_empty());
        let certificates: Vec<String> = names.map(|name| secret_name(name)).collect();
        let bundle = match tls.ca_cert_credential_name.as_str() {
            // One CA for all certificates: that of the first.
            "" => certificates.first().map(|name| format!("{name}{BUNDLE}")),
            // By the name alone it could not be told from a certificate of that Secret's.
            name if name.ends_with(BUNDLE) => Some(secret_name(name)),
            name => Some(format!("{}{BUNDLE}", secret_name(name))),
        };
        Self { certificates, bundle: bundle.filter(|_| verifies_clients(tls)) }
    }

    /// Those that the control plane serves.
    fn remote(self) -> impl Iterator<Item = String> {
        self.certificates.into_iter().chain(self.bundle).filter(|name| !name.starts_with(BUILTIN))
    }
}

/// The SDS name of a DestinationRule's `credentialName`, if it means anything in its mode.
pub(crate) fn client_credential(tls: &ClientTls) -> Option<String> {
    let used = !tls.credential_name.is_empty() && matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    used.then(|| secret_name(&tls.credential_name))
}

/// The secrets that a DestinationRule's TLS asks the control plane for.
pub(crate) fn client_secrets(tls: &ClientTls) -> impl Iterator<Item = String> {
    Credentials::of_client(tls).remote()
}

/// The secrets that a server's TLS asks the control plane for.
pub(crate) fn server_secrets(tls: &ServerTls) -> impl Iterator<Item = String> {
    Credentials::of_server(tls).remote()
}

fn verifies_clients(tls: &ServerTls) -> bool {
    tls.mode != ServerTlsMode::Simple && !tls.insecure_skip_verify.unwrap_or(false)
}
