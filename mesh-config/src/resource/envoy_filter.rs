//! `EnvoyFilter` (`networking.istio.io`): changes to the Envoy configuration that Pilot makes.
//!
//! The values of patches are Envoy's own messages in protobuf JSON; they are kept as they were written.

mod deprecated;
mod validate;
mod value;

use serde_json::{Map, Value};

use super::{
    selector::{Labels, TargetRef, WorkloadSelector},
    spec::{names, spec},
};
use crate::schema::{cel, oneof, port_number, preserve_unknown_fields};

spec! {
    /// Patches for the selected proxies; without a selector, for the namespace or (in the root namespace) the mesh.
    #[schemars(transform = cel(
        "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        "only one of targetRefs or workloadSelector can be set"
    ))]
    pub struct EnvoyFilter {
        workload_selector: Option<WorkloadSelector>,
        #[schemars(length(max = 16))]
        target_refs: Vec<TargetRef>,
        /// Applied in this order.
        config_patches: Vec<ConfigPatch>,
        /// Filters with a lower one are applied first; equal ones by age, those of the root namespace before others.
        priority: i32,
    }

    /// One change.
    pub struct ConfigPatch {
        apply_to: ApplyTo,
        /// Absent: every object of the kind.
        r#match: Option<ObjectMatch>,
        patch: Option<Patch>,
    }

    /// Which objects are changed.
    #[schemars(transform = oneof(&["listener", "routeConfiguration", "cluster", "waypoint"]))]
    #[schemars(transform = cel(
        "has(self.context) ? ((self.context == \"WAYPOINT\") ? has(self.waypoint) : !has(self.waypoint)) : !has(self.waypoint)",
        "only support waypointMatch when context is WAYPOINT"
    ))]
    pub struct ObjectMatch {
        context: PatchContext,
        proxy: Option<ProxyMatch>,
        listener: Option<ListenerMatch>,
        route_configuration: Option<RouteConfigurationMatch>,
        cluster: Option<ClusterMatch>,
        waypoint: Option<WaypointMatch>,
    }

    /// Which proxies.
    pub struct ProxyMatch {
        /// A regex over the proxy's version (`ISTIO_VERSION` of its metadata).
        proxy_version: String,
        /// What its node metadata must hold.
        metadata: Labels,
    }

    /// A listener.
    pub struct ListenerMatch {
        /// The port it listens on; for traffic that is redirected, the original destination's.
        port_number: u32,
        /// No longer read by Istio.
        port_name: String,
        filter_chain: Option<FilterChainMatch>,
        /// A listener filter.
        listener_filter: String,
        /// The listener's own name.
        name: String,
    }

    /// A filter chain of the listener.
    pub struct FilterChainMatch {
        name: String,
        sni: String,
        /// `raw_buffer` or `tls`.
        transport_protocol: String,
        /// Comma-separated.
        application_protocols: String,
        filter: Option<FilterMatch>,
        destination_port: u32,
    }

    /// A network filter of the chain.
    pub struct FilterMatch {
        name: String,
        /// A filter within it: an HTTP filter of the connection manager.
        sub_filter: Option<SubFilterMatch>,
    }

    /// A filter within a filter.
    pub struct SubFilterMatch {
        name: String,
    }

    /// A route configuration.
    pub struct RouteConfigurationMatch {
        port_number: u32,
        port_name: String,
        /// `namespace/name` of the Gateway, for gateways.
        gateway: String,
        vhost: Option<VirtualHostMatch>,
        /// The route configuration's own name.
        name: String,
    }

    /// A virtual host of the route configuration.
    pub struct VirtualHostMatch {
        /// `host:port`.
        name: String,
        route: Option<RouteMatch>,
        domain_name: String,
    }

    /// A route of the virtual host.
    pub struct RouteMatch {
        name: String,
        action: RouteAction,
    }

    /// A cluster.
    pub struct ClusterMatch {
        port_number: u32,
        /// The service's FQDN.
        service: String,
        subset: String,
        /// The cluster's own name.
        name: String,
    }

    /// A place in a waypoint.
    pub struct WaypointMatch {
        #[schemars(transform = port_number())]
        port_number: u32,
        filter: Option<FilterMatch>,
        route: Option<WaypointRouteMatch>,
    }

    /// A route of a waypoint.
    pub struct WaypointRouteMatch {
        name: String,
    }

    /// What is done.
    pub struct Patch {
        operation: Operation,
        /// The message, or the part of it, in protobuf JSON; absent for REMOVE.
        #[schemars(transform = preserve_unknown_fields)]
        value: Option<Map<String, Value>>,
        /// Where a filter is put that ADD adds.
        filter_class: FilterClass,
    }
}

names! {
    /// The kind of Envoy object that is changed.
    pub enum ApplyTo {
        /// Not said.
        #[default]
        Invalid = "INVALID",
        Listener = "LISTENER",
        FilterChain = "FILTER_CHAIN",
        NetworkFilter = "NETWORK_FILTER",
        HttpFilter = "HTTP_FILTER",
        RouteConfiguration = "ROUTE_CONFIGURATION",
        VirtualHost = "VIRTUAL_HOST",
        HttpRoute = "HTTP_ROUTE",
        Cluster = "CLUSTER",
        ExtensionConfig = "EXTENSION_CONFIG",
        Bootstrap = "BOOTSTRAP",
        ListenerFilter = "LISTENER_FILTER",
    }

    /// Whose configuration is changed.
    pub enum PatchContext {
        #[default]
        Any = "ANY",
        SidecarInbound = "SIDECAR_INBOUND",
        SidecarOutbound = "SIDECAR_OUTBOUND",
        Gateway = "GATEWAY",
        Waypoint = "WAYPOINT",
    }

    /// What a route does.
    pub enum RouteAction {
        #[default]
        Any = "ANY",
        Route = "ROUTE",
        Redirect = "REDIRECT",
        DirectResponse = "DIRECT_RESPONSE",
    }

    /// What is done.
    pub enum Operation {
        /// Not said.
        #[default]
        Invalid = "INVALID",
        /// The value is merged into the object, as protobuf merges.
        Merge = "MERGE",
        /// A new object.
        Add = "ADD",
        Remove = "REMOVE",
        InsertBefore = "INSERT_BEFORE",
        InsertAfter = "INSERT_AFTER",
        InsertFirst = "INSERT_FIRST",
        /// A filter is replaced.
        Replace = "REPLACE",
        /// As MERGE, but lists are replaced.
        MergeAndReplaceList = "MERGE_AND_REPLACE_LIST",
    }

    /// Which group of Istio's filters a new one joins.
    pub enum FilterClass {
        /// By the operation's place.
        #[default]
        Unspecified = "UNSPECIFIED",
        Authn = "AUTHN",
        Authz = "AUTHZ",
        Stats = "STATS",
    }
}

#[cfg(test)]
mod tests;
