//! Addresses and address ranges.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use ipnet::IpNet;
use mesh_proto::envoy::config::core::v3::{
    Address as WireAddress, CidrRange, Pipe, SocketAddress, address,
    socket_address::{PortSpecifier, Protocol},
};

use super::{
    context::{Context, Result, ignored, refused},
    scalar,
};
use crate::snapshot::Address;

/// Where an endpoint is: known, or to be resolved.
pub(crate) enum Place {
    /// An address.
    Address(Address),
    /// A name and port.
    Name(Arc<str>, u16),
}

/// An address whose host must be an IP.
pub(crate) fn address(cx: &mut Context<'_>, wire: Option<&WireAddress>) -> Result<Address> {
    match place(cx, wire)? {
        Place::Address(address) => Ok(address),
        Place::Name(name, _) => Err(cx.refuse_field("socket_address.address", format!("{name:?} is a name; an IP address is needed here"))),
    }
}

/// An address whose host may be a name.
pub(crate) fn place(cx: &mut Context<'_>, wire: Option<&WireAddress>) -> Result<Place> {
    let WireAddress { address } = wire.ok_or_else(|| cx.refuse("is missing"))?;
    match address {
        None => Err(cx.refuse("is empty; give socket_address or pipe")),
        Some(address::Address::Pipe(Pipe { path, mode })) => {
            ignored!(cx; mode);
            if path.is_empty() {
                return Err(cx.refuse_field("pipe.path", "is empty"));
            }
            Ok(Place::Address(Address::Pipe(PathBuf::from(path))))
        }
        Some(address::Address::SocketAddress(wire)) => cx.field("socket_address", |cx| {
            let (host, port) = host_port(cx, wire)?;
            Ok(match host.parse::<IpAddr>() {
                Ok(ip) => Place::Address(Address::Socket(SocketAddr::new(ip, port))),
                Err(_) if host.is_empty() => return Err(cx.refuse_field("address", "is empty")),
                Err(_) => Place::Name(host.into(), port),
            })
        }),
        Some(address::Address::EnvoyInternalAddress(_)) => {
            Err(cx.refuse_field("envoy_internal_address", "is not implemented: internal listeners do not exist here"))
        }
    }
}

/// The IP of a `SocketAddress` to bind to.
pub(crate) fn source(cx: &mut Context<'_>, wire: &SocketAddress) -> Result<(IpAddr, u16)> {
    let (host, port) = host_port(cx, wire)?;
    let ip = host.parse().map_err(|_| cx.refuse_field("address", format!("{host:?} is not an IP address")))?;
    Ok((ip, port))
}

fn host_port<'a>(cx: &mut Context<'_>, wire: &'a SocketAddress) -> Result<(&'a str, u16)> {
    let SocketAddress { protocol, address, resolver_name, ipv4_compat, network_namespace_filepath, port_specifier } = wire;
    if scalar::known::<Protocol>(cx, "protocol", *protocol)? == Protocol::Udp {
        return Err(cx.refuse_field("protocol", "UDP is not implemented"));
    }
    ignored!(cx; ipv4_compat);
    refused!(cx; "another resolver might give another address"; resolver_name);
    refused!(cx; "the address would be one of another network namespace"; network_namespace_filepath);
    let port = match port_specifier {
        Some(PortSpecifier::PortValue(port)) => scalar::port(cx, "port_value", *port)?,
        Some(PortSpecifier::NamedPort(_)) => return Err(cx.refuse_field("named_port", "is not implemented; give port_value")),
        None => return Err(cx.refuse_field("port_value", "is missing")),
    };
    Ok((address, port))
}

/// An address range. A length that is missing is 0, as in Envoy: everything.
pub(crate) fn range(cx: &mut Context<'_>, wire: &CidrRange) -> Result<IpNet> {
    let CidrRange { address_prefix, prefix_len } = wire;
    let ip: IpAddr =
        address_prefix.parse().map_err(|_| cx.refuse_field("address_prefix", format!("{address_prefix:?} is not an IP address")))?;
    let length = scalar::number(prefix_len.as_ref(), 0);
    u8::try_from(length)
        .ok()
        .and_then(|length| IpNet::new(ip, length).ok())
        .map(|range| range.trunc())
        .ok_or_else(|| cx.refuse_field("prefix_len", format!("{length} is too long for {ip}")))
}
