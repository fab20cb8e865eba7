//! TLS settings, secrets and access control.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::{
    secret::Secret,
    snapshot::{NetworkFilter, Principal, UpstreamTransport},
};

const UPSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

fn tls(common: &str) -> Cluster {
    cluster(
        "c",
        &format!("transport_socket: {{name: tls, typed_config: {{'@type': {UPSTREAM}, sni: s, common_tls_context: {{{common}}}}}}}"),
    )
}

/// A certificate and its key, in PEM, each as a YAML string.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.b".to_owned()]).unwrap().self_signed(&key).unwrap();
    (serde_json::to_string(&certificate.pem()).unwrap(), serde_json::to_string(&key.serialize_pem()).unwrap())
}

#[test]
fn a_cluster_waits_for_its_secrets_and_finds_them_when_they_come() {
    let sds = "tls_certificate_sds_secret_configs: [{name: default, sds_config: {ads: {}}}],
        combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: 'spiffe://a/ns/b/sa/c'}}]},
        validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}}, alpn_protocols: [istio-peer-exchange, istio]";
    let mut assembler = Assembler::new();
    assert_eq!(assembler.clusters(vec![tls(sds)], &[]), []);
    let snapshot = assembler.snapshot();
    let cluster = snapshot.cluster_by_name("c").unwrap();
    assert!(cluster.warming);
    assert_eq!(assembler.wanted().secrets.keys().map(|name| &**name).collect::<Vec<_>>(), ["ROOTCA", "default"]);
    let UpstreamTransport::Tls(tls) = &cluster.transport else { unreachable!("the cluster has TLS") };
    assert_eq!(tls.alpn, [b"istio".to_vec()]);

    let (certificate, key) = pair();
    let wire_secret = |text: String| wire::<mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret>(&text);
    let default = wire_secret(format!(
        "{{name: default, tls_certificate: {{certificate_chain: {{inline_string: {certificate}}}, private_key: {{inline_string: {key}}}}}}}"
    ));
    let root = wire_secret(format!("{{name: ROOTCA, validation_context: {{trusted_ca: {{inline_string: {certificate}}}}}}}"));
    assert_eq!(assembler.secrets(vec![default, root], &[]), []);
    assert!(!assembler.snapshot().cluster_by_name("c").unwrap().warming);
    let held = tls.certificate.as_ref().unwrap().load().unwrap();
    assert!(matches!(&*held, Secret::Certificate(_)));

    // A key of another certificate is refused, and the good pair stays.
    let (_, other) = pair();
    let wrong = wire_secret(format!(
        "{{name: default, tls_certificate: {{certificate_chain: {{inline_string: {certificate}}}, private_key: {{inline_string: {other}}}}}}}"
    ));
    let rejections = assembler.secrets(vec![wrong], &[]);
    assert!(rejections[0].reason.contains("does not belong"), "{rejections:?}");
    assert!(Arc::ptr_eq(&held, &tls.certificate.as_ref().unwrap().load().unwrap()));
    // Restrictions over SDS would be lost.
    let restricted = wire_secret(format!(
        "{{name: ROOTCA, validation_context: {{verify_certificate_hash: [a], trusted_ca: {{inline_string: {certificate}}}}}}}"
    ));
    assert!(assembler.secrets(vec![restricted], &[])[0].reason.contains("verify_certificate_hash"));
}

#[test]
fn restrictions_that_are_not_implemented_are_refused() {
    for (common, path) in [
        ("validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}", "validation_context.trust_chain_verification"),
        ("validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}", "validation_context.trusted_ca"),
        ("validation_context: {verify_certificate_hash: [abc]}", "validation_context.verify_certificate_hash[0]"),
        ("validation_context: {custom_validator_config: {name: x}}", "validation_context.custom_validator_config"),
        ("validation_context: {trusted_ca: {inline_string: nonsense}}", "validation_context.trusted_ca"),
        ("tls_params: {compliance_policies: [FIPS_202205]}", "tls_params.compliance_policies"),
        ("tls_params: {tls_maximum_protocol_version: TLSv1_1}", "tls_params.tls_maximum_protocol_version"),
        ("custom_handshaker: {name: x}", "custom_handshaker"),
    ] {
        let (_, rejections) = crate::xds::compile(vec![], vec![tls(common)], vec![], vec![]);
        let path = format!("transport_socket.typed_config.common_tls_context.{path}: ");
        assert!(rejections[0].reason.starts_with(&path), "{common}: {}", rejections[0].reason);
    }
}

fn rbac(policy: &str) -> Result<NetworkFilter, String> {
    let listener: Listener = wire(&format!(
        "{{name: l, address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}, filter_chains: [{{filters: [
          {{name: r, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: x, rules: {{policies: {{p: {{{policy}}}}}}}}}}},
          {{name: t, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: a}}}}]}}]}}"
    ));
    let (snapshot, rejections) = crate::xds::compile(vec![listener], vec![], vec![], vec![]);
    match rejections.into_iter().next() {
        Some(rejection) => Err(rejection.reason),
        None => Ok(snapshot.listeners[0].as_ref().unwrap().chains[0].filters[0].clone()),
    }
}

#[test]
fn access_control_is_taken_whole_or_not_at_all() {
    let filter = rbac(
        "permissions: [{destination_port: 80}], principals: [{filter_state: {key: io.istio.peer_principal, string_match: {exact: x}}}]",
    )
    .unwrap();
    let NetworkFilter::Rbac(rbac_filter) = filter else { unreachable!("the filter is RBAC") };
    let policy = &rbac_filter.rules.as_ref().unwrap().policies[0];
    assert!(matches!(&policy.principals[0], Principal::Authenticated(Some(_))));
    for (policy, path) in [
        ("permissions: [], principals: [{any: true}]", "permissions"),
        ("permissions: [{any: true}], principals: []", "principals"),
        ("permissions: [{any: false}], principals: [{any: true}]", "permissions[0].any"),
        ("permissions: [{and_rules: {}}], principals: [{any: true}]", "permissions[0].and_rules.rules"),
        (
            "permissions: [{any: true}], principals: [{direct_remote_ip: {address_prefix: nonsense}}]",
            "principals[0].direct_remote_ip.address_prefix",
        ),
        ("permissions: [{any: true}], principals: [{filter_state: {key: other, string_match: {exact: x}}}]", "principals[0].filter_state"),
        ("permissions: [{any: true}], principals: [{not_id: {custom: {name: x}}}]", "principals[0].not_id.custom"),
        ("permissions: [{destination_port: 70000}], principals: [{any: true}]", "permissions[0].destination_port"),
        ("permissions: [{any: true}], principals: [{any: true}], condition: {const_expr: {bool_value: false}}", "condition"),
    ] {
        let reason = rbac(policy).unwrap_err();
        let path = format!("filter_chains[0].filters[0].typed_config.rules.policies[\"p\"].{path}: ");
        assert!(reason.starts_with(&path), "{policy}: {reason}");
    }
}
