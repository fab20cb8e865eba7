//! Launch documents to the components' own configurations.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use mesh_citadel::{Tokens, authn::jwt::Rules, root::Location};
use mesh_proto::id::{Namespace, ServiceAccount, SpiffeId, TrustDomain};
use mesh_proxy::app;
use mesh_runtime::{connect::Target, drain::DrainWatch, enroll::Enrollment, svid::Renewal, tls::Peers, xds::client};

use super::{Tell, credential};
use crate::mesh::{
    layout::{SYSTEM_NAMESPACE, TRUST_DOMAIN},
    role::{Citadel, Event, Galley, Identity, Pilot, Proxy},
};

pub(super) async fn citadel(role: Citadel, tell: Tell, drain: DrainWatch) -> Result<()> {
    let domain: TrustDomain = TRUST_DOMAIN.parse()?;
    let namespace: Namespace = SYSTEM_NAMESPACE.parse()?;
    let mut config = mesh_citadel::Config::new(&domain, &namespace, role.listen, Location::Local(role.root));
    config.monitoring = Some(role.monitoring);
    config.policy.default_ttl = Duration::from_secs(role.lifetime_seconds);
    config.policy.max_ttl = Duration::from_secs(role.lifetime_seconds);
    // A local mesh has one clock: certificates that live for seconds are not back-dated by a minute.
    config.policy.skew = CLOCK_SKEW;
    config.tokens = Some(Tokens { jwks: role.jwks, rules: Rules { issuers: vec![TRUST_DOMAIN.into()], ..Rules::default() } });
    let bound = mesh_citadel::bind(config).await.context("citadel cannot start")?;
    tell(Event::Ready { addresses: BTreeMap::from([("ca".into(), role.listen.to_string())]) });
    bound.run(drain).await.context("citadel stopped")
}

pub(super) async fn galley(role: Galley, tell: Tell, drain: DrainWatch) -> Result<()> {
    let config = mesh_galley::Config {
        listen: role.listen,
        monitoring: Some(role.monitoring),
        folders: role.folders,
        state: role.state,
        watch: role.watch,
        quiet: mesh_galley::Config::QUIET,
        patience: mesh_galley::Config::PATIENCE,
        enrollment: enrollment(role.identity)?,
        allowed: vec![control_plane("mesh-pilot")?],
        trusted: vec![control_plane("mesh-pilot")?],
    };
    let bound = mesh_galley::bind(config).await.context("galley cannot start")?;
    let readiness = bound.readiness().clone();
    let addresses = BTreeMap::from([("mcp".into(), role.listen.to_string())]);
    when_ready(bound.run(drain), readiness, tell, addresses).await.context("galley stopped")
}

/// A handful of proxies: no reason to wait as long as in a cluster.
const PUSH_QUIET: Duration = Duration::from_millis(10);
const PUSH_PATIENCE: Duration = Duration::from_millis(200);
/// How far certificates are back-dated.
const CLOCK_SKEW: Duration = Duration::from_secs(1);
/// How long Citadel may be away when a proxy starts.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(60);

/// Runs a component and tells when it is ready.
async fn when_ready<E>(
    component: impl Future<Output = Result<(), E>>,
    readiness: mesh_runtime::ready::Readiness,
    tell: Tell,
    addresses: BTreeMap<String, String>,
) -> Result<(), E> {
    tokio::pin!(component);
    tokio::select! {
        // First, so that it has said what it waits for before it is asked whether it is ready.
        biased;
        ended = &mut component => return ended,
        () = readiness.wait() => tell(Event::Ready { addresses }),
    }
    component.await
}

/// The identity of a control-plane component.
pub(super) fn control_plane(account: &str) -> Result<SpiffeId> {
    let account: ServiceAccount = account.parse()?;
    Ok(SpiffeId::new(&TRUST_DOMAIN.parse()?, &SYSTEM_NAMESPACE.parse()?, &account))
}

pub(super) async fn pilot(role: Pilot, tell: Tell, drain: DrainWatch) -> Result<()> {
    let mut mesh = mesh_pilot::MeshSettings::new(TRUST_DOMAIN.parse()?);
    mesh.root_namespace = SYSTEM_NAMESPACE.into();
    // The gateways are no registered workloads; every process has a token of its own that names one service account, and all have one operator.
    mesh.trust_claimed_labels = true;
    if role.access_log {
        mesh.access_log_file = "/dev/stderr".into();
    }
    let config = mesh_pilot::Config {
        listen: role.listen,
        plaintext: None,
        monitoring: Some(role.monitoring),
        galley: role.galley.to_string(),
        galley_id: control_plane("mesh-galley")?,
        enrollment: enrollment(role.identity)?,
        mesh,
        debounce: mesh_pilot::Debounce { quiet: PUSH_QUIET, patience: PUSH_PATIENCE },
    };
    let bound = mesh_pilot::bind(config).await.context("pilot cannot start")?;
    let readiness = bound.readiness().clone();
    let addresses = BTreeMap::from([("ads".into(), role.listen.to_string())]);
    when_ready(bound.run(drain), readiness, tell, addresses).await.context("pilot stopped")
}

pub(super) async fn proxy(role: Proxy, tell: Tell, drain: DrainWatch) -> Result<()> {
    let mesh = app::Mesh {
        node: app::Node { id: role.node_id, cluster: role.node_cluster, metadata: role.metadata, locality: None },
        pilot: Target::Tcp(role.pilot),
        pilot_id: control_plane("mesh-pilot")?,
        mode: client::Mode::Delta,
        enrollment: enrollment(role.identity)?,
        patience: CERTIFICATE_PATIENCE,
    };
    let config = app::Config {
        admin: Some(role.admin),
        concurrency: role.concurrency,
        sds: role.sds,
        ..app::Config::new(app::ConfigSource::Mesh(Box::new(mesh)))
    };
    let bound = tokio::select! {
        bound = app::bind(config) => bound.context("the proxy cannot start")?,
        () = drain.draining() => return Ok(()),
    };
    let readiness = bound.readiness.clone();
    let addresses = BTreeMap::from([("admin".into(), role.admin.to_string())]);
    when_ready(bound.run(drain), readiness, tell, addresses).await.context("the proxy stopped")
}

/// How a workload gets its certificate: with its token first, by the certificate itself afterwards.
pub(super) fn enrollment(identity: Identity) -> Result<Enrollment> {
    Ok(Enrollment {
        id: identity.id.parse()?,
        citadel: Target::Tcp(identity.citadel),
        peers: Peers::id(control_plane("mesh-citadel")?),
        roots: identity.roots,
        token: credential::token(identity.token),
        renewal: Renewal::Certificate,
    })
}
