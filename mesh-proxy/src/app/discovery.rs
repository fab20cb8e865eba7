//! The xDS server that a bootstrap names: an address of a static cluster, or a URI.

use mesh_runtime::connect::{Connector, Target as Peer};
use tonic::transport::Channel;

use super::Error;
use crate::{
    snapshot::{Address, UpstreamTransport},
    xds::{Assembler, Source, Target},
};

/// Whether resources come over the ADS stream; another source than that is refused.
pub(super) fn is_ads(what: &'static str, source: Option<&Source>) -> Result<bool, Error> {
    match source {
        None => Ok(false),
        Some(Source::Ads) => Ok(true),
        Some(other) => Err(Error::Source { what, reason: format!("{other:?} is not implemented; give `ads: {{}}` and an ads_config") }),
    }
}

/// A channel to the server of `ads_config`.
pub(super) fn channel(assembler: &mut Assembler, target: &Target, connector: &Connector) -> Result<Channel, Error> {
    let fail = |reason: String| Error::Source { what: "dynamic_resources.ads_config", reason };
    let peer = match target {
        Target::Uri(uri) => uri.parse::<Peer>().map_err(|error| fail(error.to_string()))?,
        Target::Cluster(name) => {
            let snapshot = assembler.snapshot();
            let cluster = snapshot.cluster_by_name(name).ok_or_else(|| fail(format!("there is no static cluster {name:?}")))?;
            if !matches!(cluster.transport, UpstreamTransport::Plain) {
                // Fails closed: never in plaintext where TLS is asked for.
                return Err(fail(format!("cluster {name:?} asks for TLS, which is not implemented for ADS from a bootstrap file")));
            }
            let endpoint = cluster.endpoints.priorities.iter().flatten().flat_map(|locality| &locality.endpoints).next();
            match (endpoint.map(|endpoint| &endpoint.address), cluster.endpoints.names.first()) {
                (Some(Address::Socket(address)), _) => Peer::Tcp(*address),
                (Some(Address::Pipe(path)), _) => Peer::Unix(path.clone()),
                (None, Some((host, port))) => Peer::Name(host.clone(), *port),
                (None, None) => return Err(fail(format!("cluster {name:?} has no endpoint"))),
            }
        }
    };
    Ok(connector.channel(&peer, None))
}
