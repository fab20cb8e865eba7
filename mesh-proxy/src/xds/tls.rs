//! TLS settings. A restriction that is not implemented refuses the resource; a relaxation that is not implemented is ignored, for what is left is
//! stricter.

use std::sync::Arc;

use mesh_proto::envoy::{
    config::core::v3::{TransportSocket, transport_socket::ConfigType},
    extensions::transport_sockets::{
        raw_buffer::v3::RawBuffer,
        tls::v3::{
            CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher, TlsParameters,
            UpstreamTlsContext,
            certificate_validation_context::TrustChainVerification,
            common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
            downstream_tls_context::{OcspStaplePolicy, SessionTicketKeysType},
            subject_alt_name_matcher::SanType,
            tls_parameters::TlsProtocol,
        },
    },
};

use super::{
    any::Typed,
    context::{Context, Result, ignored, refused},
    scalar::{self, Data},
    secret, source, text,
};
use crate::{
    secret::SecretRef,
    snapshot::{
        DownstreamTls, DownstreamTransport, SanKind, SanMatcher, StringMatcher, StringPattern, TlsVersions, UpstreamTls, UpstreamTransport,
        Validation,
    },
};

/// ALPN of Istio's TCP metadata exchange.
const PEER_EXCHANGE: &str = "istio-peer-exchange";
/// Chains of more intermediates are not verified here in any case (rustls' own bound).
const MAX_INTERMEDIATES: u32 = 6;

/// How a filter chain receives bytes.
pub(crate) fn downstream(cx: &mut Context<'_>, wire: Option<&TransportSocket>) -> Result<DownstreamTransport> {
    let Some(wire) = wire else { return Ok(DownstreamTransport::Plain) };
    cx.field("transport_socket", |cx| {
        socket(cx, wire, |cx, typed| match typed.name() {
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" => {
                let wire: DownstreamTlsContext = typed.decode(cx)?;
                downstream_tls(cx, &wire).map(|tls| DownstreamTransport::Tls(Arc::new(tls)))
            }
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" => {
                let RawBuffer {} = typed.decode(cx)?;
                Ok(DownstreamTransport::Plain)
            }
            other => Err(cx.refuse(format!("{other} is not implemented: bytes would be taken for something else"))),
        })
        .map(|transport| transport.unwrap_or(DownstreamTransport::Plain))
    })
}

/// How an endpoint is reached. `name` says whose settings these are, for stats and logs.
pub(crate) fn upstream(cx: &mut Context<'_>, name: &str, wire: Option<&TransportSocket>) -> Result<UpstreamTransport> {
    let Some(wire) = wire else { return Ok(UpstreamTransport::Plain) };
    cx.field("transport_socket", |cx| {
        socket(cx, wire, |cx, typed| match typed.name() {
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" => {
                let wire: UpstreamTlsContext = typed.decode(cx)?;
                upstream_tls(cx, name, &wire).map(|tls| UpstreamTransport::Tls(Arc::new(tls)))
            }
            "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" => {
                let RawBuffer {} = typed.decode(cx)?;
                Ok(UpstreamTransport::Plain)
            }
            other => Err(cx.refuse(format!("{other} is not implemented: endpoints would be spoken to in another way"))),
        })
        .map(|transport| transport.unwrap_or(UpstreamTransport::Plain))
    })
}

fn socket<T>(
    cx: &mut Context<'_>,
    wire: &TransportSocket,
    convert: impl FnOnce(&mut Context<'_>, &Typed<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let TransportSocket { name, config_type } = wire;
    match config_type {
        None if name == "envoy.transport_sockets.raw_buffer" => Ok(None),
        None => Err(cx.refuse_field("typed_config", format!("is missing, and {name:?} needs one"))),
        Some(ConfigType::TypedConfig(any)) => cx.field("typed_config", |cx| {
            let typed = Typed::open(cx, any)?;
            convert(cx, &typed).map(Some)
        }),
    }
}

fn downstream_tls(cx: &mut Context<'_>, wire: &DownstreamTlsContext) -> Result<DownstreamTls> {
    let DownstreamTlsContext {
        common_tls_context,
        require_client_certificate,
        require_sni,
        disable_stateful_session_resumption,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch,
        prefer_client_ciphers,
        session_ticket_keys_type,
    } = wire;
    ignored!(cx; session_timeout, full_scan_certs_on_sni_mismatch, prefer_client_ciphers);
    if scalar::flag(require_sni.as_ref(), false) {
        return Err(cx.refuse_field("require_sni", "is not implemented: clients without SNI would be let in"));
    }
    if scalar::known::<OcspStaplePolicy>(cx, "ocsp_staple_policy", *ocsp_staple_policy)? != OcspStaplePolicy::LenientStapling {
        return Err(cx.refuse_field("ocsp_staple_policy", "only LENIENT_STAPLING is implemented"));
    }
    let stateless = match session_ticket_keys_type {
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(disabled)) => !disabled,
        Some(SessionTicketKeysType::SessionTicketKeys(_)) => {
            cx.ignore("session_ticket_keys");
            true
        }
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_)) => {
            cx.ignore("session_ticket_keys_sds_secret_config");
            true
        }
        None => true,
    };
    let common = common(cx, common_tls_context.as_ref())?;
    if common.certificates.is_empty() {
        return Err(cx.refuse_field("common_tls_context", "names no certificate for the server"));
    }
    let require_client_certificate = scalar::flag(require_client_certificate.as_ref(), false);
    let proves = |validation: &Validation| validation.roots.is_some() || !validation.spki.is_empty() || !validation.hashes.is_empty();
    if require_client_certificate && !common.validation.as_ref().is_some_and(proves) {
        return Err(cx.refuse_field(
            "require_client_certificate",
            "without a validation context would let any certificate in; say what to verify it by",
        ));
    }
    Ok(DownstreamTls {
        certificates: common.certificates,
        validation: common.validation,
        require_client_certificate,
        alpn: common.alpn,
        versions: common.versions,
        resumption: stateless && !disable_stateful_session_resumption,
    })
}

fn upstream_tls(cx: &mut Context<'_>, name: &str, wire: &UpstreamTlsContext) -> Result<UpstreamTls> {
    #[expect(deprecated, reason = "every field is looked at")]
    let UpstreamTlsContext {
        common_tls_context,
        sni,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        max_session_keys,
        enforce_rsa_key_usage,
    } = wire;
    ignored!(cx; enforce_rsa_key_usage);
    refused!(cx; "TLS renegotiation does not exist here"; allow_renegotiation);
    let mut common = common(cx, common_tls_context.as_ref())?;
    if common.certificates.len() > 1 {
        return Err(cx.refuse_field("common_tls_context.tls_certificates", "more than one client certificate is not implemented"));
    }
    if *auto_sni_san_validation {
        let fixed = !sni.is_empty() && !auto_host_sni;
        match (&mut common.validation, fixed) {
            (Some(validation), true) => {
                let pattern = StringPattern::Exact(sni.to_ascii_lowercase().into());
                validation.names = vec![SanMatcher { kind: SanKind::Dns, value: StringMatcher { pattern, ignore_case: true } }];
            }
            _ => return Err(cx.refuse_field("auto_sni_san_validation", "needs a fixed sni and a validation context here")),
        }
    }
    Ok(UpstreamTls {
        certificate: common.certificates.pop(),
        validation: common.validation,
        sni: text::optional(sni),
        auto_host_sni: *auto_host_sni,
        alpn: common.alpn,
        versions: common.versions,
        max_session_keys: scalar::number(max_session_keys.as_ref(), 1),
        name: name.into(),
    })
}

struct Common {
    certificates: Vec<SecretRef>,
    validation: Option<Validation>,
    alpn: Vec<Vec<u8>>,
    versions: TlsVersions,
}

fn common(cx: &mut Context<'_>, wire: Option<&CommonTlsContext>) -> Result<Common> {
    let none = CommonTlsContext::default();
    cx.field("common_tls_context", |cx| {
        #[expect(deprecated, reason = "every field is looked at")]
        let CommonTlsContext {
            tls_params,
            tls_certificates,
            tls_certificate_sds_secret_configs,
            tls_certificate_provider_instance,
            custom_tls_certificate_selector,
            tls_certificate_certificate_provider,
            tls_certificate_certificate_provider_instance,
            alpn_protocols,
            custom_handshaker,
            key_log,
            validation_context_type,
        } = wire.unwrap_or(&none);
        ignored!(cx; key_log);
        refused!(cx; "give tls_certificates or tls_certificate_sds_secret_configs"; tls_certificate_provider_instance,
            tls_certificate_certificate_provider, tls_certificate_certificate_provider_instance);
        refused!(cx; "the handshake would be another"; custom_tls_certificate_selector, custom_handshaker);
        let mut certificates = cx.each("tls_certificates", tls_certificates, secret::certificate)?;
        certificates.extend(cx.each("tls_certificate_sds_secret_configs", tls_certificate_sds_secret_configs, sds)?);
        let validation = match validation_context_type {
            None => None,
            Some(wire) => validation_of(cx, wire)?,
        };
        Ok(Common {
            certificates,
            validation,
            // Never offered before the exchange itself is implemented: a peer that agreed on it would wait for its first frame.
            alpn: alpn_protocols.iter().filter(|name| *name != PEER_EXCHANGE).map(|name| name.clone().into_bytes()).collect(),
            versions: versions(cx, tls_params.as_ref())?,
        })
    })
}

fn versions(cx: &mut Context<'_>, wire: Option<&TlsParameters>) -> Result<TlsVersions> {
    let Some(wire) = wire else { return Ok(TlsVersions::Tls12And13) };
    let TlsParameters {
        tls_minimum_protocol_version,
        tls_maximum_protocol_version,
        cipher_suites,
        ecdh_curves,
        signature_algorithms,
        compliance_policies,
    } = wire;
    cx.field("tls_params", |cx| {
        // The suites, groups and signatures of our TLS library are all of the strong kind (AEAD, forward secrecy).
        ignored!(cx; cipher_suites, ecdh_curves, signature_algorithms);
        refused!(cx; "the policy would not be kept"; compliance_policies);
        let least = scalar::known(cx, "tls_minimum_protocol_version", *tls_minimum_protocol_version)?;
        let most = scalar::known(cx, "tls_maximum_protocol_version", *tls_maximum_protocol_version)?;
        if matches!(least, TlsProtocol::TlSv10 | TlsProtocol::TlSv11) {
            cx.ignore("tls_minimum_protocol_version");
        }
        match (least, most) {
            (_, TlsProtocol::TlSv10 | TlsProtocol::TlSv11) => {
                Err(cx.refuse_field("tls_maximum_protocol_version", "is older than any version implemented here; TLSv1_2 is the oldest"))
            }
            (TlsProtocol::TlSv13, TlsProtocol::TlSv12) => Err(cx.refuse("the minimum version is above the maximum")),
            (TlsProtocol::TlSv13, _) => Ok(TlsVersions::Tls13),
            (_, TlsProtocol::TlSv12) => Ok(TlsVersions::Tls12),
            (_, TlsProtocol::TlsAuto | TlsProtocol::TlSv13) => Ok(TlsVersions::Tls12And13),
        }
    })
}

#[expect(deprecated, reason = "every form is looked at")]
fn validation_of(cx: &mut Context<'_>, wire: &ValidationContextType) -> Result<Option<Validation>> {
    match wire {
        ValidationContextType::ValidationContext(wire) => cx.field("validation_context", |cx| validation(cx, wire, None)).map(Some),
        ValidationContextType::ValidationContextSdsSecretConfig(wire) => {
            let roots = cx.field("validation_context_sds_secret_config", |cx| sds(cx, wire))?;
            Ok(Some(Validation { roots: Some(roots), names: Vec::new(), spki: Vec::new(), hashes: Vec::new(), crl: None }))
        }
        ValidationContextType::CombinedValidationContext(wire) => cx.field("combined_validation_context", |cx| {
            let CombinedCertificateValidationContext {
                default_validation_context,
                validation_context_sds_secret_config,
                validation_context_certificate_provider,
                validation_context_certificate_provider_instance,
            } = wire;
            refused!(cx; "give validation_context_sds_secret_config"; validation_context_certificate_provider,
                validation_context_certificate_provider_instance);
            let roots = match validation_context_sds_secret_config {
                Some(wire) => Some(cx.field("validation_context_sds_secret_config", |cx| sds(cx, wire))?),
                None => None,
            };
            let none = CertificateValidationContext::default();
            let wire = default_validation_context.as_ref().unwrap_or(&none);
            cx.field("default_validation_context", |cx| validation(cx, wire, roots)).map(Some)
        }),
        ValidationContextType::ValidationContextCertificateProvider(_)
        | ValidationContextType::ValidationContextCertificateProviderInstance(_) => {
            Err(cx.refuse("certificate providers are not implemented; give a validation context"))
        }
    }
}

/// A validation context; `sds` is a bundle that comes over SDS and replaces its own.
fn validation(cx: &mut Context<'_>, wire: &CertificateValidationContext, sds: Option<SecretRef>) -> Result<Validation> {
    #[expect(deprecated, reason = "control planes still send the old form of names")]
    let CertificateValidationContext {
        trusted_ca,
        ca_certificate_provider_instance,
        system_root_certs,
        watched_directory,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        require_signed_certificate_timestamp,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl,
        max_verify_depth,
        suppress_client_ca_list,
    } = wire;
    // Files are watched whatever this says.
    let _ = watched_directory;
    ignored!(cx; allow_expired_certificate, only_verify_leaf_cert_crl, suppress_client_ca_list);
    refused!(cx; "the peer would be verified in another way"; ca_certificate_provider_instance, system_root_certs, custom_validator_config);
    if scalar::flag(require_signed_certificate_timestamp.as_ref(), false) {
        return Err(cx.refuse_field("require_signed_certificate_timestamp", "is not implemented: it would not be required"));
    }
    if scalar::known::<TrustChainVerification>(cx, "trust_chain_verification", *trust_chain_verification)?
        != TrustChainVerification::VerifyTrustChain
    {
        return Err(cx.refuse_field("trust_chain_verification", "ACCEPT_UNTRUSTED is not implemented"));
    }
    if max_verify_depth.as_ref().is_some_and(|depth| depth.value < MAX_INTERMEDIATES) {
        return Err(cx.refuse_field("max_verify_depth", "below 6 is not implemented: longer chains would be accepted"));
    }
    let mut names = cx.each("match_typed_subject_alt_names", match_typed_subject_alt_names, typed_name)?;
    names.extend(cx.each("match_subject_alt_names", match_subject_alt_names, |cx, wire| {
        Ok(SanMatcher { kind: SanKind::Any, value: text::string(cx, wire)? })
    })?);
    let roots = match (sds, trusted_ca) {
        (Some(sds), _) => Some(sds),
        (None, Some(wire)) => {
            let data = scalar::data(cx, "trusted_ca", wire)?;
            Some(cx.field("trusted_ca", |cx| secret::roots(cx, &data))?)
        }
        (None, None) => None,
    };
    let spki = verify_certificate_spki.iter().map(|pin| pin.as_str().into()).collect::<Vec<_>>();
    let hashes = cx.each("verify_certificate_hash", verify_certificate_hash, |cx, hash| fingerprint(cx, hash))?;
    if roots.is_none() && !names.is_empty() {
        return Err(cx.refuse_field("trusted_ca", "is missing: names in a certificate prove nothing unless it is verified"));
    }
    let crl = crl.as_ref().map(|wire| scalar::data(cx, "crl", wire)).transpose()?.map(|data| data.bytes.into());
    if crl.is_some() && roots.is_none() {
        return Err(cx.refuse_field("crl", "needs trusted_ca"));
    }
    Ok(Validation { roots, names, spki, hashes, crl })
}

/// The bundle of a validation context that comes over SDS; what else it may hold belongs into the settings that refer to it.
pub(crate) fn bundle_only(cx: &mut Context<'_>, wire: &CertificateValidationContext) -> Result<(Data, Option<Data>)> {
    let trusted_ca = wire.trusted_ca.as_ref().ok_or_else(|| cx.refuse_field("trusted_ca", "is missing"))?;
    // The same rules as for one in place, and nothing that would be lost.
    let whole = validation_restrictions(wire);
    if let Some(name) = whole {
        return Err(cx.refuse_field(name, "is not implemented over SDS; put it into default_validation_context"));
    }
    let crl = wire.crl.as_ref().map(|crl| scalar::data(cx, "crl", crl)).transpose()?;
    Ok((scalar::data(cx, "trusted_ca", trusted_ca)?, crl))
}

/// The first restriction that a validation context makes besides its bundle and its revocation lists.
fn validation_restrictions(wire: &CertificateValidationContext) -> Option<&'static str> {
    #[expect(deprecated, reason = "every field is looked at")]
    let CertificateValidationContext {
        trusted_ca: _,
        ca_certificate_provider_instance,
        system_root_certs,
        watched_directory: _,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        require_signed_certificate_timestamp,
        crl: _,
        allow_expired_certificate: _,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl: _,
        max_verify_depth,
        suppress_client_ca_list: _,
    } = wire;
    [
        ("ca_certificate_provider_instance", ca_certificate_provider_instance.is_some()),
        ("system_root_certs", system_root_certs.is_some()),
        ("verify_certificate_spki", !verify_certificate_spki.is_empty()),
        ("verify_certificate_hash", !verify_certificate_hash.is_empty()),
        ("match_typed_subject_alt_names", !match_typed_subject_alt_names.is_empty()),
        ("match_subject_alt_names", !match_subject_alt_names.is_empty()),
        ("require_signed_certificate_timestamp", scalar::flag(require_signed_certificate_timestamp.as_ref(), false)),
        ("trust_chain_verification", *trust_chain_verification != 0),
        ("custom_validator_config", custom_validator_config.is_some()),
        ("max_verify_depth", max_verify_depth.is_some()),
    ]
    .into_iter()
    .find_map(|(name, set)| set.then_some(name))
}

fn typed_name(cx: &mut Context<'_>, wire: &SubjectAltNameMatcher) -> Result<SanMatcher> {
    let SubjectAltNameMatcher { san_type, matcher, oid } = wire;
    refused!(cx; "other names are not looked at"; oid);
    let kind = match scalar::known(cx, "san_type", *san_type)? {
        SanType::Dns => SanKind::Dns,
        SanType::Uri => SanKind::Uri,
        SanType::Email => SanKind::Email,
        SanType::IpAddress => SanKind::Ip,
        SanType::Unspecified | SanType::OtherName => return Err(cx.refuse_field("san_type", "must be DNS, URI, EMAIL or IP_ADDRESS")),
    };
    Ok(SanMatcher { kind, value: text::required(cx, "matcher", matcher.as_ref())? })
}

/// A SHA-256 in hex, with or without colons.
fn fingerprint(cx: &mut Context<'_>, hash: &str) -> Result<Arc<str>> {
    let hex = hash.replace(':', "").to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|c| c.is_ascii_hexdigit()) { Ok(hex.into()) } else { Err(cx.refuse("is not a SHA-256 in hex")) }
}

fn sds(cx: &mut Context<'_>, wire: &SdsSecretConfig) -> Result<SecretRef> {
    let SdsSecretConfig { name, sds_config } = wire;
    if name.is_empty() {
        return Err(cx.refuse_field("name", "is empty"));
    }
    let source = match sds_config {
        // Without a source it is one of the bootstrap's own secrets.
        None => source::Source::Static,
        Some(_) => source::source(cx, "sds_config", sds_config.as_ref())?,
    };
    Ok(cx.secret(name, source))
}
