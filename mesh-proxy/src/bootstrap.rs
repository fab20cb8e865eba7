//! An Envoy bootstrap: who we are, where configuration comes from, and the resources that are there from the start.
//!
//! As in Envoy, one bad static resource is an error of the whole bootstrap; as everywhere here, no field is passed over without being listed.

mod report;
mod sections;

use std::sync::Arc;

use mesh_proto::{
    envoy::config::{
        bootstrap::v3::{
            Bootstrap,
            bootstrap::{DynamicResources, StaticResources},
        },
        core::v3::Node,
    },
    json::{self, ConfigError},
};

pub use self::report::Report;
use crate::{
    snapshot::{AccessLog, Address},
    xds::{Api, Assembler, Context, Registry, Slots, Source, Target, api, refused},
};

/// A bootstrap, read.
#[derive(Debug)]
pub struct BootstrapConfig {
    /// What to send to xDS servers.
    pub node: Node,
    /// Where the admin endpoints listen.
    pub admin: Option<Admin>,
    /// The ADS stream.
    pub ads: Option<Ads>,
    /// Where listeners come from, if from anywhere but the bootstrap.
    pub lds: Option<Source>,
    /// Where clusters come from, if from anywhere but the bootstrap.
    pub cds: Option<Source>,
    /// Tags with a fixed value, for every metric (`stats_config.stats_tags`).
    pub stats_tags: Vec<(Arc<str>, Arc<str>)>,
    /// `cluster_manager.local_cluster_name`.
    pub local_cluster: Option<Arc<str>>,
}

/// The admin endpoints.
#[derive(Debug)]
pub struct Admin {
    /// Where they listen.
    pub address: Address,
    /// Logs of requests to them.
    pub access_logs: Vec<Arc<AccessLog>>,
}

/// The ADS stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ads {
    /// The server.
    pub target: Target,
    /// Delta, not state of the world.
    pub delta: bool,
    /// gRPC metadata to send.
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
}

/// What came of a bootstrap.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: BootstrapConfig,
    /// Holds the static resources; dynamic ones are added to it.
    pub assembler: Assembler,
    /// What is wrong, and what has no effect. With errors in it the bootstrap must not be run.
    pub report: Report,
}

/// Reads a bootstrap from YAML or JSON.
///
/// # Errors
/// When the text is not a bootstrap. What is wrong with its content is in [`Loaded::report`].
pub fn from_yaml(text: &str) -> Result<Loaded, ConfigError> {
    Ok(load(json::bootstrap_from_yaml(text)?))
}

/// Converts a bootstrap.
pub fn load(wire: Bootstrap) -> Loaded {
    let mut assembler = Assembler::new();
    let mut report = Report::default();
    let (mut slots, mut secrets) = (Slots::default(), Registry::default());
    let mut cx = Context::new(&mut slots, &mut secrets);
    if let Err(refusal) = sections::unimplemented_fields(&mut cx, &wire) {
        report.errors.push(refusal.to_string());
    }
    let Bootstrap { node, static_resources, dynamic_resources, stats_config, admin, cluster_manager, .. } = wire;
    let mut section = |result: crate::xds::Result<()>| {
        if let Err(refusal) = result {
            report.errors.push(refusal.to_string());
        }
    };
    let mut config = BootstrapConfig {
        node: node.unwrap_or_default(),
        admin: None,
        ads: None,
        lds: None,
        cds: None,
        stats_tags: Vec::new(),
        local_cluster: None,
    };
    section(cx.field("admin", |cx| sections::admin(cx, admin.as_ref()).map(|admin| config.admin = admin)));
    section(cx.field("dynamic_resources", |cx| dynamic(cx, dynamic_resources.as_ref(), &mut config)));
    section(cx.field("stats_config", |cx| sections::stats_tags(cx, stats_config.as_ref()).map(|tags| config.stats_tags = tags)));
    section(cx.field("cluster_manager", |cx| sections::cluster_manager(cx, cluster_manager).map(|local| config.local_cluster = local)));
    let found = cx.finish();
    report.bootstrap(found.ignored);
    resources(&mut assembler, static_resources.unwrap_or_default(), &mut report);
    report.resources(&assembler);
    Loaded { config, assembler, report }
}

fn resources(assembler: &mut Assembler, wire: StaticResources, report: &mut Report) {
    let StaticResources { listeners, clusters, secrets } = wire;
    // Secrets first: clusters and listeners refer to them; clusters before listeners, which refer to those.
    let rejected = assembler.secrets(secrets, &[]);
    report.rejected("secret", rejected);
    let rejected = assembler.static_clusters(clusters);
    report.rejected("cluster", rejected);
    let listeners = listeners.into_iter().enumerate().map(|(position, mut listener)| {
        if listener.name.is_empty() {
            listener.name = format!("static_{position}");
        }
        listener
    });
    let rejected = assembler.static_listeners(listeners.collect());
    report.rejected("listener", rejected);
}

fn dynamic(cx: &mut Context<'_>, wire: Option<&DynamicResources>, config: &mut BootstrapConfig) -> crate::xds::Result<()> {
    let Some(wire) = wire else { return Ok(()) };
    let DynamicResources { lds_config, lds_resources_locator, cds_config, cds_resources_locator, ads_config } = wire;
    refused!(cx; "other resources would be asked for; use lds_config and cds_config"; lds_resources_locator, cds_resources_locator);
    if let Some(wire) = ads_config {
        let Api { delta, aggregated: _, target, metadata } = cx.field("ads_config", |cx| api(cx, wire))?;
        config.ads = Some(Ads { target, delta, metadata });
    }
    config.lds = sections::collection(cx, "lds_config", lds_config.as_ref())?;
    config.cds = sections::collection(cx, "cds_config", cds_config.as_ref())?;
    let by_ads = [&config.lds, &config.cds].into_iter().flatten().any(|source| *source == Source::Ads);
    if by_ads && config.ads.is_none() {
        return Err(cx.refuse_field("ads_config", "is missing, and lds_config or cds_config refers to it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
