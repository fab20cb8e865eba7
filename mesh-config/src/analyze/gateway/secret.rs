//! Credentials of Gateways: whether the Secret is where the gateway's workload looks for it, and whether it can be used.

use std::collections::HashMap;

use crate::{
    analyze::{Analyzer, code, context::Context, selector},
    resource::{Gateway, Kind, Labels, Pod, Secret, kubernetes::secret::Tls},
};

/// Credentials that are missing or useless.
pub(in crate::analyze) static SECRET: Analyzer = Analyzer {
    name: "gateway.SecretAnalyzer",
    about: "Checks that the credentials of Gateways exist and can be used",
    codes: &[&code::REFERENCED_RESOURCE_NOT_FOUND, &code::INVALID_GATEWAY_CREDENTIAL],
    reads: &[Kind::Gateway, Kind::Pod, Kind::Secret],
    run: secrets,
};

fn secrets(cx: &mut Context<'_>) {
    // A gateway reads Secrets of the namespace that its pods are in, not of the Gateway's own.
    let mut homes: HashMap<&Labels, Option<&str>> = HashMap::new();
    for gateway in cx.all::<Gateway>() {
        let labels = &gateway.spec().selector;
        let home =
            *homes.entry(labels).or_insert_with(|| cx.selected_anywhere::<Pod>(labels).first().map(|pod| pod.meta().namespace.as_str()));
        let Some(home) = home else {
            cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, gateway, "spec.selector", &[&"selector", &selector::text(labels)]);
            continue;
        };
        for (index, server) in gateway.spec().servers.iter().enumerate() {
            let name = server.tls.as_ref().map(|tls| tls.credential_name.as_str()).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            let path = format_args!("spec.servers[{index}].tls.credentialName");
            let (namespace, secret) = name.split_once('/').unwrap_or((home, name));
            match cx.find::<Secret>(namespace, secret) {
                None => cx.report(&code::REFERENCED_RESOURCE_NOT_FOUND, gateway, path, &[&"credentialName", &name]),
                Some(secret) if !is_usable(cx, secret.spec()) => {
                    cx.report(&code::INVALID_GATEWAY_CREDENTIAL, gateway, path, &[&gateway.meta().name, &home]);
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether a certificate and a key are there, and every certificate of the chain holds now.
fn is_usable(cx: &Context<'_>, secret: &Secret) -> bool {
    let Ok(tls) = Tls::of(secret) else { return false };
    let now = cx.options().now.map(time::OffsetDateTime::from);
    now.is_none_or(|now| tls.certificates.iter().all(|certificate| certificate.check_time(now).is_ok()))
}
