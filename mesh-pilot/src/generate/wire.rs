//! Small constructors for wire messages, so that generators read as what they mean.

use std::time::Duration;

use mesh_proto::{
    any::pack,
    envoy::{
        config::{
            core::v3::{
                Address, AggregatedConfigSource, ApiVersion, ConfigSource, DataSource, Metadata, Pipe, RuntimeFractionalPercent,
                SocketAddress, TransportSocket, address, config_source::ConfigSourceSpecifier, data_source, socket_address::PortSpecifier,
                transport_socket,
            },
            listener::v3::{Filter, ListenerFilter, filter, listener_filter},
        },
        extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter},
        r#type::{
            matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern},
            v3::{FractionalPercent, Percent, fractional_percent::DenominatorType},
        },
    },
    google::protobuf::{self, BoolValue, Struct, UInt32Value, Value, value::Kind},
};
use prost::Name;

pub(crate) fn duration(duration: Duration) -> Option<protobuf::Duration> {
    Some(protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    })
}

pub(crate) fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(crate) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// A value that has a default where it is 0 or negative.
pub(crate) fn positive(value: i32) -> Option<UInt32Value> {
    u32::try_from(value).ok().filter(|value| *value > 0).and_then(number)
}

/// A value of 0 to 100, as fine as 0.0001.
pub(crate) fn fraction(percent: f64) -> FractionalPercent {
    let parts = (percent.clamp(0.0, 100.0) * 10_000.0).round();
    // At most 1 000 000 after the clamp; NaN becomes 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let numerator = parts as u32;
    FractionalPercent { numerator, denominator: DenominatorType::Million.into() }
}

pub(crate) fn runtime_fraction(percent: f64) -> Option<RuntimeFractionalPercent> {
    Some(RuntimeFractionalPercent { default_value: Some(fraction(percent)), runtime_key: String::new() })
}

pub(crate) fn percent(value: f64) -> Option<Percent> {
    Some(Percent { value })
}

pub(crate) fn socket(ip: &str, port: u16) -> Address {
    let address =
        SocketAddress { address: ip.to_owned(), port_specifier: Some(PortSpecifier::PortValue(port.into())), ..Default::default() };
    Address { address: Some(address::Address::SocketAddress(address)) }
}

pub(crate) fn pipe(path: &str) -> Address {
    Address { address: Some(address::Address::Pipe(Pipe { path: path.to_owned(), mode: 0 })) }
}

/// "From the stream that this comes on."
pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        initial_fetch_timeout: duration(Duration::ZERO),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

pub(crate) fn network_filter<M: prost::Message + Name>(name: &str, config: &M) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(pack(config))) }
}

pub(crate) fn http_filter<M: prost::Message + Name>(name: &str, config: &M) -> HttpFilter {
    HttpFilter { name: name.to_owned(), config_type: Some(http_filter::ConfigType::TypedConfig(pack(config))), ..Default::default() }
}

pub(crate) fn listener_filter<M: prost::Message + Name>(name: &str, config: &M) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(pack(config))),
        ..Default::default()
    }
}

pub(crate) fn transport_socket<M: prost::Message + Name>(name: &str, config: &M) -> TransportSocket {
    TransportSocket { name: name.to_owned(), config_type: Some(transport_socket::ConfigType::TypedConfig(pack(config))) }
}

pub(crate) fn file(path: &str) -> Option<DataSource> {
    Some(DataSource { specifier: Some(data_source::Specifier::Filename(path.to_owned())), ..Default::default() })
}

pub(crate) fn text(value: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(value.into())) }
}

pub(crate) fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(protobuf::ListValue { values })) }
}

pub(crate) fn object(fields: Vec<(&str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
}

pub(crate) fn value(object: Struct) -> Value {
    Value { kind: Some(Kind::StructValue(object)) }
}

/// `filter_metadata` of these namespaces.
pub(crate) fn metadata(filters: Vec<(&str, Struct)>) -> Option<Metadata> {
    let filter_metadata = filters.into_iter().map(|(name, fields)| (name.to_owned(), fields)).collect();
    Some(Metadata { filter_metadata, ..Default::default() })
}

/// `filter_metadata.istio.config`: which resource this comes from (DESIGN.md D2).
pub(crate) fn provenance(config: &str) -> Option<Metadata> {
    metadata(vec![("istio", object(vec![("config", text(config))]))])
}

fn matcher(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

pub(crate) fn exact(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Exact(text.into()))
}

pub(crate) fn prefix(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Prefix(text.into()))
}

pub(crate) fn suffix(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::Suffix(text.into()))
}

pub(crate) fn regex(text: impl Into<String>) -> StringMatcher {
    matcher(MatchPattern::SafeRegex(safe_regex(text)))
}

pub(crate) fn safe_regex(text: impl Into<String>) -> RegexMatcher {
    RegexMatcher { regex: text.into(), ..Default::default() }
}
