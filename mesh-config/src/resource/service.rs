//! `Service` (Kubernetes core/v1): the part of a mesh service that every user has already.

mod validate;

use std::fmt;

use serde::Serialize;

use super::{
    selector::Labels,
    spec::{names, spec},
};

spec! {
    /// A Kubernetes Service's spec. Fields that only a cluster's own network uses are kept and not interpreted.
    pub struct Service {
        #[serde(rename = "type")]
        kind: ServiceType,
        /// Labels of the pods (or WorkloadEntries) behind it; empty: none are selected.
        selector: Labels,
        ports: Vec<Port>,
        /// The virtual address; `None` means headless.
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<String>,
        /// The DNS name of a service of type ExternalName.
        external_name: String,
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        load_balancer_class: Option<String>,
        load_balancer_source_ranges: Vec<String>,
        allocate_load_balancer_node_ports: Option<bool>,
        external_traffic_policy: Option<TrafficPolicy>,
        internal_traffic_policy: Option<TrafficPolicy>,
        health_check_node_port: Option<u16>,
        ip_families: Vec<IpFamily>,
        ip_family_policy: Option<IpFamilyPolicy>,
        /// Endpoints count before they are ready.
        publish_not_ready_addresses: bool,
        session_affinity: Option<SessionAffinity>,
        session_affinity_config: Option<SessionAffinityConfig>,
        /// `PreferClose`, `PreferSameZone`, `PreferSameNode`: a preference for near endpoints.
        traffic_distribution: Option<String>,
    }

    /// One port of a Service.
    pub struct Port {
        /// Unique; may be empty if the service has one port. A prefix before `-` names the protocol to Istio.
        name: String,
        required port: u16,
        /// The workload's port: a number or the name of one; absent: the same as `port`.
        target_port: Option<TargetPort>,
        protocol: Transport,
        /// The application protocol; wins over the name's prefix.
        app_protocol: Option<String>,
        node_port: Option<u16>,
    }

    /// Settings of session affinity.
    pub struct SessionAffinityConfig {
        #[serde(rename = "clientIP")]
        client_ip: Option<ClientIpConfig>,
    }

    /// Settings of affinity by client address.
    pub struct ClientIpConfig {
        /// Seconds that the affinity lasts.
        timeout_seconds: Option<u32>,
    }
}

/// A number or a name (Kubernetes' int-or-string).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// The name of a port of the workload.
    Name(String),
}

names! {
    /// How a Service is published.
    pub enum ServiceType {
        #[default]
        ClusterIp = "ClusterIP",
        NodePort = "NodePort",
        LoadBalancer = "LoadBalancer",
        /// A name for something outside the cluster.
        ExternalName = "ExternalName",
    }

    /// The transport below.
    pub enum Transport {
        #[default]
        Tcp = "TCP",
        Udp = "UDP",
        Sctp = "SCTP",
    }

    /// Which endpoints of the cluster a node may use.
    pub enum TrafficPolicy {
        #[default]
        Cluster = "Cluster",
        Local = "Local",
    }

    /// An IP family.
    pub enum IpFamily {
        #[default]
        Ipv4 = "IPv4",
        Ipv6 = "IPv6",
    }

    /// How many IP families a service has.
    pub enum IpFamilyPolicy {
        #[default]
        SingleStack = "SingleStack",
        PreferDualStack = "PreferDualStack",
        RequireDualStack = "RequireDualStack",
    }

    /// Whether a client stays with one endpoint.
    pub enum SessionAffinity {
        #[default]
        None = "None",
        ClientIp = "ClientIP",
    }
}

impl<'de> serde::Deserialize<'de> for TargetPort {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName;
        impl serde::de::Visitor<'_> for NumberOrName {
            type Value = TargetPort;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number from 1 to 65535 or a port name")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<TargetPort, E> {
                match u16::try_from(number) {
                    Ok(number) if number > 0 => Ok(TargetPort::Number(number)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
                }
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<TargetPort, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<TargetPort, E> {
                Ok(TargetPort::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberOrName)
    }
}

crate::resource::spec::schema_of! {
    TargetPort => serde_json::Value;
}
