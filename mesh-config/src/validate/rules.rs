//! Rules that several kinds share: names, hosts, ports, durations, shares, regexes, selectors.

use std::{collections::BTreeSet, fmt::Display, net::IpAddr, time::Duration as Time};

use ipnet::IpNet;
use mesh_proto::{id::Hostname, re2};

use super::Checks;
use crate::decode::plain;
use crate::resource::{Duration, HeaderMatch, Labels, StringMatch, Visibility};

/// Regexes may be this long, in bytes (Istio's limit).
const MAX_REGEX: usize = 1024;

/// DNS names may be this long, in bytes (RFC 1035 §2.3.4, as a text without its root).
const MAX_NAME: usize = 253;

/// A finding shows values up to this length, in characters.
const SHOWN: usize = 80;

/// A value as a finding shows it.
pub(crate) fn shown(value: impl Display) -> Option<String> {
    let text = value.to_string();
    if text.chars().count() <= SHOWN { Some(text) } else { Some(text.chars().take(SHOWN).chain(['…']).collect()) }
}

/// Whether two host patterns have a name in common.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    match (a.parse::<Hostname>(), b.parse::<Hostname>()) {
        (Ok(a), Ok(b)) => a == b || a.covers(&b) || b.covers(&a),
        _ => a == b,
    }
}

/// Whether a text is short enough for a DNS name.
pub(crate) fn domain_length(name: &str) -> bool {
    name.len() <= MAX_NAME
}

/// What is wrong with a DNS name; with `wildcard`, its first label may be or start with `*`. An address is no name: its last label is a number.
pub(crate) fn domain_problem(name: &str, wildcard: bool) -> Option<&'static str> {
    let top = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or(name);
    if name.is_empty() {
        Some("domain name is empty")
    } else if !domain_length(name) {
        Some("domain name is too long")
    } else if !name.parse::<Hostname>().is_ok_and(|name| wildcard || !name.is_wildcard()) {
        Some("invalid domain name")
    } else if !top.is_empty() && top.bytes().all(|b| b.is_ascii_digit()) {
        Some("invalid domain name: the last label cannot be a number")
    } else {
        None
    }
}

/// Whether `text` is a label as RFC 1123 has it: letters, digits and inner dashes, at most 63.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether a Unix socket can have that path.
pub(crate) fn is_socket(path: &str) -> bool {
    path.starts_with('@') || path.starts_with('/') && !path.ends_with('/')
}

/// Whether `text` is an IP address or a CIDR block.
pub(crate) fn is_block(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok()
}

/// Why a text is no regex of RE2, which Istio's proxies match with.
pub(crate) fn regex_problem(regex: &str) -> Option<String> {
    let translated = match re2::translate(regex) {
        Ok(translated) => translated,
        Err(error) => return Some(error.to_string()),
    };
    let error = regex::Regex::new(&translated).err()?.to_string();
    Some(error.lines().last().unwrap_or_default().trim().to_owned())
}

impl Checks {
    /// A DNS name or an IP address; with `wildcard`, also a name whose first label is or starts with `*`.
    pub(crate) fn host(&mut self, field: &str, host: &str, wildcard: bool) {
        if host.parse::<IpAddr>().is_err() {
            self.domain(field, host, wildcard);
        }
    }

    /// A DNS name, and no IP address; with `wildcard`, also a name whose first label is or starts with `*`.
    pub(crate) fn domain(&mut self, field: &str, name: &str, wildcard: bool) {
        if let Some(problem) = domain_problem(name, wildcard) {
            self.field(field, |checks| {
                checks.error(shown(name), problem, "use a DNS name; a wildcard only as or at the start of the first label");
            });
        }
    }

    /// A host of a Gateway or a Sidecar: `*` or a whole DNS name, in which a wildcard is a whole label; with `address`, an IP address.
    pub(crate) fn whole_host(&mut self, host: &str, address: bool) {
        if host == "*" || address && host.parse::<IpAddr>().is_ok() {
            return;
        }
        if host.starts_with('*') && !host.starts_with("*.") {
            return self.error(shown(host), "invalid domain name: partial wildcard not allowed", "write `*` or `*.domain`");
        }
        self.domain("", host, true);
        if !host.contains('.') && !host.is_empty() {
            self.error(shown(host), "short names (non FQDN) are not allowed", "write the whole DNS name");
        }
    }

    /// The path of a Unix socket, without `unix://`: absolute, or `@` and a name in the abstract namespace.
    pub(crate) fn socket(&mut self, path: &str) {
        if !is_socket(path) {
            self.error(shown(path), "not the path of a Unix socket", "write unix:///path/to/file or unix://@name");
        }
    }

    /// A port that traffic can go to.
    pub(crate) fn port(&mut self, field: &str, port: u16) {
        if port == 0 {
            self.field(field, |checks| {
                checks.error(shown(port), "port must be between 1-65535", "set the number of a port");
            });
        }
    }

    /// At least a millisecond, which is what Envoy's timers count.
    pub(crate) fn duration(&mut self, field: &str, duration: Option<Duration>) {
        let Some(duration) = duration else { return };
        self.field(field, |checks| {
            if duration.get() < Time::from_millis(1) {
                let remedy = "set 1ms or more, or leave the field out";
                checks.error(shown(duration), "must be a valid duration greater than 1ms", remedy);
            } else if !duration.get().subsec_nanos().is_multiple_of(1_000_000) {
                checks.error(shown(duration), "only durations to ms precision are supported", "round it");
            }
        });
    }

    /// 0 to 100.
    pub(crate) fn percent(&mut self, field: &str, percent: Option<f64>) {
        if let Some(percent) = percent.filter(|percent| !(0.0..=100.0).contains(percent)) {
            self.field(field, |checks| {
                checks.error(shown(percent), format!("percentage {percent} is not in range 0..100"), "set 0 to 100");
            });
        }
    }

    /// 0, or at least the smallest share that Envoy knows (one in a million).
    pub(crate) fn fractional_percent(&mut self, field: &str, percent: Option<f64>) {
        self.percent(field, percent);
        if let Some(percent) = percent.filter(|percent| (0.0..0.0001).contains(percent) && *percent > 0.0) {
            self.field(field, |checks| {
                let rule = format!("percentage {percent} is neither 0.0, nor in range [0.0001, 100.0]");
                checks.error(shown(percent), rule, "set 0, or 0.0001 and more");
            });
        }
    }

    /// Not below zero.
    pub(crate) fn non_negative(&mut self, field: &str, number: i32) {
        if number < 0 {
            self.field(field, |checks| {
                checks.error(shown(number), format!("{field} must be non-negative"), "set 0 (the default) or more");
            });
        }
    }

    /// RE2, at most 1024 bytes.
    pub(crate) fn regex(&mut self, field: &str, regex: &str) {
        self.field(field, |checks| {
            if regex.is_empty() {
                checks.error(None, "regex string match should not be empty", "write a pattern, such as `.*`");
            } else if regex.len() > MAX_REGEX {
                checks.error(shown(regex), "regex is too large, max length allowed is 1024", "write a shorter pattern");
            } else if let Some(problem) = regex_problem(regex) {
                checks.error(shown(regex), format!("regex does not compile: {problem}"), "write it in RE2 syntax");
            }
        });
    }

    /// A comparison whose regex compiles. An empty prefix matches everything, which Istio takes.
    pub(crate) fn string_match(&mut self, field: &str, value: &StringMatch) {
        self.field(field, |checks| match value {
            StringMatch::Regex(regex) => checks.regex("regex", regex),
            StringMatch::Prefix(_) | StringMatch::Exact(_) => {}
        });
    }

    /// The same, where an empty prefix is not taken.
    pub(crate) fn whole_string_match(&mut self, field: &str, value: &StringMatch) {
        self.string_match(field, value);
        if matches!(value, StringMatch::Prefix(prefix) if prefix.is_empty()) {
            self.field(&format!("{field}.prefix"), |checks| {
                checks.error(None, "prefix string match should not be empty", "write a prefix, or leave the match out");
            });
        }
    }

    /// A header or query parameter comparison.
    pub(crate) fn header_match(&mut self, field: &str, name: &str, value: &HeaderMatch) {
        self.field(&format!("{field}{}", key(name)), |checks| {
            if name.is_empty() {
                checks.error(None, "header name cannot be empty", "name the header");
            }
            match value {
                HeaderMatch::Value(StringMatch::Regex(regex)) => checks.regex("regex", regex),
                HeaderMatch::Value(StringMatch::Prefix(prefix)) if prefix.is_empty() => checks.field("prefix", |checks| {
                    checks.error(None, "prefix string match should not be empty", "write `{}` to match any value");
                }),
                HeaderMatch::Value(_) | HeaderMatch::Present => {}
            }
        });
    }

    /// Labels to select by: names without wildcards. Their values are the schema's business.
    pub(crate) fn selector(&mut self, field: &str, labels: &Labels) {
        self.field(field, |checks| {
            for name in labels.keys() {
                if name.is_empty() {
                    checks.error(None, "key must not be empty", "name a label");
                }
                if name.contains('*') {
                    let rule = "wildcard not allowed in label key match";
                    checks.error(shown(name), rule, "name one label, or leave the selector out to select all");
                }
            }
        });
    }

    /// A selector that is written and selects everything.
    pub(crate) fn selects_nothing_special(&mut self, field: &str, labels: &Labels) {
        if labels.is_empty() {
            self.field(field, |checks| {
                let rule = "workload selector specified without labels, will be applied to all services in namespace";
                checks.warning(None, rule, "add labels, or leave the selector out");
            });
        }
    }

    /// Labels as Kubernetes takes them.
    pub(crate) fn labels(&mut self, field: &str, labels: &Labels) {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let word = |text: &str| {
            text.len() <= 63 && text.chars().all(inner) && !text.starts_with(['-', '_', '.']) && !text.ends_with(['-', '_', '.'])
        };
        for (name, value) in labels {
            let (prefix, short) = name.split_once('/').unwrap_or(("", name));
            let prefix_valid = prefix.is_empty() && !name.starts_with('/') || prefix.split('.').all(is_label);
            if short.is_empty() || !word(short) || !prefix_valid {
                self.field(&format!("{field}{}", key(name)), |checks| {
                    checks.error(shown(name), "invalid label key", "use letters, digits, `-`, `_`, `.`, at most 63");
                });
            }
            if !word(value) {
                self.field(&format!("{field}{}", key(name)), |checks| {
                    checks.error(shown(value), "invalid label value", "use letters, digits, `-`, `_`, `.`, at most 63");
                });
            }
        }
    }

    /// `exportTo`: no entry twice, `*` and `~` alone, `~` only where `nobody`. `own` is the namespace of the resource.
    pub(crate) fn export_to(&mut self, entries: &[Visibility], own: &str, nobody: bool) {
        let mut seen = BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let text = String::from(entry.clone());
            let entry = if *entry == Visibility::Private { Visibility::Namespace(own.to_owned()) } else { entry.clone() };
            self.field(&format!("exportTo[{index}]"), |checks| {
                if let Visibility::Namespace(namespace) = &entry
                    && !is_label(namespace)
                {
                    checks.error(shown(namespace), "not a namespace", "use `*`, `.`, `~` or the name of a namespace");
                }
                if entry == Visibility::Nobody && !nobody {
                    checks.error(shown(&text), "exportTo `~` is for services only", "use `.` to keep it to its own namespace");
                }
                if !seen.insert(entry.clone()) {
                    checks.error(shown(&text), format!("duplicate entries in exportTo for entry {text}"), "remove one");
                }
            });
        }
        if seen.len() > 1 && seen.contains(&Visibility::Public) {
            self.field("exportTo", |checks| {
                let rule = "cannot have both public (*) and non-public exportTo values for a resource";
                checks.error(None, rule, "keep `*` alone, or leave it out");
            });
        }
        if seen.len() > 1 && seen.contains(&Visibility::Nobody) {
            self.field("exportTo", |checks| {
                checks.error(None, "cannot export to no one (~) and someone", "keep `~` alone, or leave it out");
            });
        }
    }

    /// Reports `value` at `field` if it was seen before.
    pub(crate) fn unique<T: Ord + Display>(&mut self, field: &str, seen: &mut BTreeSet<T>, value: T, rule: &str) {
        let text = value.to_string();
        if !seen.insert(value) {
            self.field(field, |checks| checks.error(shown(&text), rule, "give each its own"));
        }
    }
}

/// A map key as a path step.
pub(crate) fn key(name: &str) -> String {
    if plain(name) { format!(".{name}") } else { format!("[{name:?}]") }
}
