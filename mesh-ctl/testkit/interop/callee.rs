//! Envoy beside one of the advertisements: mesh-proxies call it, and it calls mesh-proxies.

use std::path::Path;

use anyhow::{Result, anyhow};
use http::StatusCode;
use mesh_ctl::{
    demo::{Sample, spec},
    load::Load,
    mesh::spec::Ads,
    shop::control,
    stranger,
};

use crate::{
    report::{Found, Report, found},
    stats::{Stats, wait_for},
    subject::{
        INBOUND, LIFETIME, Subject, after, called_over_tls, cluster, configured, envoys, rotated, send, serial, served_over_tls, unfailing,
        unrejected,
    },
};

const WORKLOAD: &str = "advertisement-v1";
const REQUESTS: u64 = 1_500;
const DENIED: u64 = 40;

/// Only the frontend may ask for advertisements.
const POLICY: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: advertisement
  namespace: shop
spec:
  selector:
    matchLabels: {app: advertisement}
  action: ALLOW
  rules:
    - from:
        - source:
            principals: [\"cluster.local/ns/shop/sa/frontend\"]
";

/// Runs it.
pub(crate) async fn run(envoy: &Path, report: &mut Report) -> Result<()> {
    let sample = Sample::copy()?;
    sample.edit("security.yaml", |text| Some(format!("{text}{POLICY}")))?;
    let mut spec = spec(&sample, LIFETIME, 1);
    envoys(&mut spec, &[WORKLOAD], envoy, Ads::Delta);
    let subject = Subject::start(spec, sample, &[]).await?;
    let admin = subject.admin(WORKLOAD)?;
    report.add("configuration", configured(admin).await);

    let load = subject.load(None)?;
    let first = serial(admin).await.map_err(|error| anyhow!(error))?;
    let reached = after(&load, REQUESTS).await;
    report.add("requests", reached.and_then(|_| unfailing(&load)));
    let stats = Stats::of(admin).await.map_err(|error| anyhow!(error))?;
    report.add("mtls-in", served_over_tls(&stats));
    // The inventory's mesh-proxies admit nobody but this identity.
    report.add("mtls-out", called_over_tls(&stats, "inventory", ""));
    report.add("authorization", denied(&subject, admin).await);
    report.add("strangers", refused(&subject, admin).await);
    report.add("retry", retried(&subject, admin, &load).await);
    report.add("rotation", rotated(admin, &first).await);
    report.add("no-failure", unfailing(&load));
    load.stop().await;
    let stats = Stats::of(admin).await.map_err(|error| anyhow!(error))?;
    report.add("nothing-rejected", unrejected(&stats));
    report.add("clean-up", subject.end().await);
    Ok(())
}

/// The inventory's identity, proven to Envoy by a mesh-proxy's certificate, is not the frontend's.
async fn denied(subject: &Subject, admin: std::net::SocketAddr) -> Found {
    let before = Stats::of(admin).await?.sum(INBOUND, "rbac.denied");
    let mut caller = subject.app("inventory-1", "advertisement").map_err(|error| error.to_string())?;
    let seen = send(&mut caller, "/", &[], DENIED).await?;
    let counted = Stats::of(admin).await?.sum(INBOUND, "rbac.denied") - before;
    let all = seen.get(&StatusCode::FORBIDDEN) == Some(&DENIED);
    // About one in five goes to v2, beside which is a mesh-proxy.
    found(all && (DENIED / 2..=DENIED).contains(&counted), format!("answers {seen:?}, of which Envoy's rbac.denied {counted}"))
}

/// Neither TLS without a certificate of the mesh nor plaintext comes in.
async fn refused(subject: &Subject, admin: std::net::SocketAddr) -> Found {
    let address = subject.inbound(WORKLOAD).map_err(|error| error.to_string())?;
    let before = Stats::of(admin).await?;
    let request = "GET / HTTP/1.1\r\nhost: advertisement\r\nconnection: close\r\n\r\n";
    let answer = stranger::call(address, request).await.answer;
    let mut plain = mesh_ctl::load::Caller::new(address, "advertisement").map_err(|error| error.to_string())?;
    let plain = plain.get("/", &[]).await.ok().map(|answer| answer.status);
    let count = |stats: &Stats| {
        let of = |name: &str| stats.sum("listener.127.", &format!("_8080.{name}"));
        (of("ssl.fail_verify_no_cert") + of("no_filter_chain_match"), of("no_filter_chain_match"))
    };
    let (first, _) = count(&before);
    let stats = wait_for(admin, "refused connections are counted", |stats| count(stats).0 >= first + 2).await?;
    let (refused, unmatched) = count(&stats);
    found(
        answer.is_none() && plain.is_none(),
        format!(
            "refused {} connections (no_filter_chain_match {unmatched}, ssl.fail_verify_no_cert {}), answers: {answer:?}, {plain:?}",
            refused - first,
            refused - unmatched
        ),
    )
}

/// One inventory answers only errors: Envoy asks the other one, then takes the bad one out.
async fn retried(subject: &Subject, admin: std::net::SocketAddr, load: &Load) -> Found {
    let bad = subject.mesh.folder().socket("inventory-2");
    let name = |name: &str| format!("{}{name}", cluster("inventory", ""));
    let before = Stats::of(admin).await?;
    control(&bad, "break").await?;
    let reached = after(load, 600).await;
    let retries = name("upstream_rq_retry");
    let seen = wait_for(admin, "retries", |stats| stats.one(&retries) > before.one(&retries)).await;
    control(&bad, "mend").await?;
    reached?;
    let seen = seen?;
    let of = |stat: &str| seen.one(&name(stat)) - before.one(&name(stat));
    let (retried, healed, ejected) =
        (of("upstream_rq_retry"), of("upstream_rq_retry_success"), of("outlier_detection.ejections_enforced_total"));
    found(
        retried > 0 && healed == retried && ejected > 0,
        format!("upstream_rq_retry {retried}, upstream_rq_retry_success {healed}, ejections_enforced_total {ejected}"),
    )
}
