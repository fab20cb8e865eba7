//! What an annotation's value must look like, as Istio's injector takes it.

use std::net::IpAddr;

use regex::Regex;

use crate::resource::mesh_config;

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything.
    Text,
    /// As Go's `ParseBool` reads it.
    Bool,
    /// A number from 0 to 2³²−1.
    Count,
    /// One port.
    Port,
    /// Ports, separated by commas; may be empty.
    Ports,
    /// Ports, or `*`.
    PortsOrAll,
    /// CIDR ranges, separated by commas; may be empty.
    Ranges,
    /// CIDR ranges, or `*`.
    RangesOrAll,
    /// Names of network interfaces, separated by commas.
    Interfaces,
    /// REDIRECT, TPROXY or NONE.
    InterceptionMode,
    /// A Kubernetes quantity, such as `100m` or `128Mi`.
    Quantity,
    /// A ProxyConfig in YAML.
    ProxyConfig,
}

impl Form {
    /// Why `value` is not of this form, if it is not.
    ///
    /// # Errors
    /// With what would be right.
    pub fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Text => Ok(()),
            Self::Bool => {
                one_of(value, &["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"], "true or false")
            }
            Self::InterceptionMode => one_of(value, &["REDIRECT", "TPROXY", "NONE"], "REDIRECT, TPROXY or NONE"),
            Self::Count => value.parse::<u32>().map(drop).map_err(|_| format!("`{value}` is not a whole number from 0 to {}", u32::MAX)),
            Self::Port => port(value),
            Self::Ports => list(value.trim(), port),
            Self::PortsOrAll => {
                if value == "*" {
                    Ok(())
                } else {
                    list(value.trim(), port)
                }
            }
            Self::Ranges => list(value, range),
            Self::RangesOrAll => {
                if value == "*" {
                    Ok(())
                } else {
                    list(value, range)
                }
            }
            Self::Interfaces => list(value, interface),
            Self::Quantity => quantity(value),
            Self::ProxyConfig => proxy_config(value),
        }
    }
}

fn one_of(value: &str, values: &[&str], said: &str) -> Result<(), String> {
    if values.contains(&value) { Ok(()) } else { Err(format!("`{value}` is not {said}")) }
}

/// Every part of a list with commas; an empty text is an empty list.
fn list(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { text.split(',').try_for_each(check) }
}

fn port(text: &str) -> Result<(), String> {
    text.trim().parse::<u16>().map(drop).map_err(|_| format!("`{text}` is not a port from 0 to 65535"))
}

fn range(text: &str) -> Result<(), String> {
    let is_range = text.split_once('/').is_some_and(|(address, length)| {
        let widest = address.parse::<IpAddr>().map(|address| if address.is_ipv4() { 32 } else { 128 });
        let plain = length == "0" || !length.is_empty() && !length.starts_with(['0', '+']);
        plain && widest.is_ok_and(|widest| length.parse::<u8>().is_ok_and(|length| length <= widest))
    });
    if is_range { Ok(()) } else { Err(format!("`{text}` is not a CIDR range such as 10.0.0.0/8")) }
}

/// Linux: at most 15 bytes, no `/` and no white space; `*` and `+` at the end are iptables' wildcards.
fn interface(text: &str) -> Result<(), String> {
    let name = text.trim();
    let is_name = !name.is_empty() && name.len() <= 15 && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    if is_name && name != "." && name != ".." { Ok(()) } else { Err(format!("`{text}` is not the name of a network interface")) }
}

/// The grammar of `k8s.io/apimachinery`'s resource.Quantity.
fn quantity(text: &str) -> Result<(), String> {
    static GRAMMAR: std::sync::LazyLock<Option<Regex>> =
        std::sync::LazyLock::new(|| Regex::new(r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$").ok());
    if GRAMMAR.as_ref().is_some_and(|grammar| grammar.is_match(text)) {
        Ok(())
    } else {
        Err(format!("`{text}` is not a quantity such as 100m or 128Mi"))
    }
}

fn proxy_config(text: &str) -> Result<(), String> {
    let problems = mesh_config::ProxyConfig::parse("proxy.istio.io/config", text).err().unwrap_or_default();
    let Some(first) = problems.first() else { return Ok(()) };
    let path = if first.field_path.is_empty() { String::new() } else { format!("{}: ", first.field_path) };
    Err(format!("{path}{}", first.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_form() {
        for (form, right, wrong) in [
            (Form::Bool, &["true", "0", "T"][..], &["yes", "", "tRue"][..]),
            (Form::Count, &["0", "30"], &["-1", "1.5", "", "4294967296"]),
            (Form::Port, &["0", "15020", " 80"], &["", "65536", "http"]),
            (Form::Ports, &["", "80,443", "80, 443 "], &["80,", "*", "a"]),
            (Form::PortsOrAll, &["*", "", "80"], &["*,80"]),
            (Form::Ranges, &["", "10.0.0.0/8,::1/128"], &["*", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/8, 11.0.0.0/8"]),
            (Form::RangesOrAll, &["*"], &["*,10.0.0.0/8"]),
            (Form::Interfaces, &["", "eth0,veth+"], &["eth0,", "a-very-long-interface-name", "a/b"]),
            (Form::InterceptionMode, &["REDIRECT", "TPROXY", "NONE"], &["redirect", ""]),
            (Form::Quantity, &["100m", "128Mi", "1", "1.5", "2e3", "+1Gi", ".5"], &["", "100 m", "1MiB", "a", "\u{7}1"]),
            (Form::ProxyConfig, &["concurrency: 2", "{}"], &["- a", "a: [", "text", "concurency: 2"]),
            (Form::Text, &["", "anything"], &[]),
        ] {
            for value in right {
                assert_eq!(form.check(value), Ok(()), "{form:?} {value}");
            }
            for value in wrong {
                assert!(form.check(value).is_err(), "{form:?} {value}");
            }
        }
    }
}
