//! Which routes of a VirtualService can never take a request, because an earlier one takes it all: Istio's IST0130 (a rule) and IST0131 (a match).
//!
//! Pure, for validation (which warns) and analysis (which has codes). The comparison is Istio's: a route without conditions takes all that comes after it, an
//! equal match takes what its twin would, and of two URI prefixes the shorter takes the longer if their other conditions begin alike. The first two are
//! certain; the third compares texts, does not look at labels, gateways or regexes, and may call a match taken that still gets some requests.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::{HttpMatch, HttpRoute, VirtualService};
use crate::resource::{HeaderMatch, StringMatch};

/// Something that takes no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// `http`, `tls` or `tcp`.
    pub list: &'static str,
    /// The route, from 0.
    pub rule: usize,
    /// The match in it, from 0; absent: the route as a whole.
    pub matched: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// The route's own name, or `#` and its position.
    pub rule_name: String,
}

/// Why nothing is left for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An earlier route without conditions, and this one has none either.
    SecondCatchAll,
    /// An earlier route without conditions.
    AfterCatchAll,
    /// Each of its matches is one of an earlier route.
    AllMatchesUsed,
    /// The match is also one of route `by`.
    Duplicate {
        /// The name of the match.
        matched: String,
        /// The name of the earlier route.
        by: String,
    },
    /// The match's URI prefix is below that of an earlier match, whose other conditions begin like its own.
    Overlap {
        /// The name of the match, and its prefix.
        matched: (String, String),
        /// The name of the earlier match, and its prefix.
        earlier: (String, String),
        /// The name of the earlier match's route.
        by: String,
    },
}

/// All of a VirtualService, in the order of its lists.
pub fn unreachable(spec: &VirtualService) -> Vec<Unreachable> {
    let named = |name: &str, index: usize| if name.is_empty() { format!("#{index}") } else { format!("{name:?}") };
    let http: Vec<Route> = spec
        .http
        .iter()
        .enumerate()
        .map(|(index, route)| Route {
            name: named(&route.name, index),
            matches: route.matches.iter().enumerate().map(|(index, item)| (named(&item.name, index), identity(item))).collect(),
        })
        .collect();
    let mut found = shadowed("http", &http);
    found.extend(overlaps(&spec.http, &http));
    let tls: Vec<Route> = spec.tls.iter().enumerate().map(|(index, route)| Route::unnamed(index, &route.r#match)).collect();
    found.extend(shadowed("tls", &tls));
    let tcp: Vec<Route> = spec.tcp.iter().enumerate().map(|(index, route)| Route::unnamed(index, &route.r#match)).collect();
    found.extend(shadowed("tcp", &tcp));
    found
}

/// What matters of a route here.
struct Route {
    name: String,
    /// The name of each match, and what it matches.
    matches: Vec<(String, String)>,
}

impl Route {
    /// A route of a list where neither routes nor matches have names.
    fn unnamed<T: serde::Serialize>(index: usize, matches: &[T]) -> Self {
        let matches = matches.iter().enumerate().map(|(index, item)| (format!("#{index}"), text(item))).collect();
        Self { name: format!("#{index}"), matches }
    }
}

/// What a match matches, whatever it is called.
fn identity(item: &HttpMatch) -> String {
    text(&HttpMatch { name: String::new(), ..item.clone() })
}

fn text(item: &impl serde::Serialize) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

fn shadowed(list: &'static str, routes: &[Route]) -> Vec<Unreachable> {
    let mut found = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut catches_all = false;
    for (rule, route) in routes.iter().enumerate() {
        let mut report = |matched, reason| found.push(Unreachable { list, rule, matched, reason, rule_name: route.name.clone() });
        if route.matches.is_empty() {
            if catches_all {
                report(None, Reason::SecondCatchAll);
            }
            catches_all = true;
            continue;
        }
        let mut duplicates = 0;
        for (index, (name, identity)) in route.matches.iter().enumerate() {
            if catches_all {
                report(None, Reason::AfterCatchAll);
            } else if let Some(earlier) = seen.get(identity.as_str()) {
                report(Some(index), Reason::Duplicate { matched: name.clone(), by: routes[*earlier].name.clone() });
                duplicates += 1;
            } else {
                seen.insert(identity, rule);
            }
        }
        if duplicates == route.matches.len() {
            report(None, Reason::AllMatchesUsed);
        }
    }
    found
}

/// A match by URI prefix, with conditions as texts: what they compare with and how.
struct Prefixed<'a> {
    rule: usize,
    index: usize,
    prefix: &'a str,
    port: Option<u16>,
    method: Text<'a>,
    authority: Text<'a>,
    named: [BTreeMap<&'a str, Text<'a>>; 3],
}

/// How a text is compared, and with what; empty: any text, or a way that is not looked into.
type Text<'a> = (&'static str, &'a str);

fn condition(value: Option<&StringMatch>) -> Text<'_> {
    match value {
        Some(StringMatch::Exact(text)) if !text.is_empty() => ("exact", text),
        Some(StringMatch::Prefix(text)) if !text.is_empty() => ("prefix", text),
        _ => ("", ""),
    }
}

fn conditions(values: &BTreeMap<String, HeaderMatch>) -> BTreeMap<&str, Text<'_>> {
    let mut conditions = BTreeMap::new();
    for (name, item) in values {
        conditions.insert(
            name.as_str(),
            match item {
                HeaderMatch::Value(value) => condition(Some(value)),
                HeaderMatch::Present => ("", ""),
            },
        );
    }
    conditions
}

fn overlaps(routes: &[HttpRoute], names: &[Route]) -> Vec<Unreachable> {
    let prefixed = prefixed(routes);
    let mut found = Vec::new();
    for (position, earlier) in prefixed.iter().enumerate() {
        for later in &prefixed[position + 1..] {
            if later.prefix == earlier.prefix || !earlier.takes(later) {
                continue;
            }
            let name = |item: &Prefixed<'_>| (names[item.rule].matches[item.index].0.clone(), item.prefix.to_owned());
            found.push(Unreachable {
                list: "http",
                rule: later.rule,
                matched: Some(later.index),
                reason: Reason::Overlap { matched: name(later), earlier: name(earlier), by: names[earlier.rule].name.clone() },
                rule_name: names[later.rule].name.clone(),
            });
        }
    }
    found
}

/// The matches by URI prefix up to the first route without conditions, each that is not the same as an earlier one.
fn prefixed(routes: &[HttpRoute]) -> Vec<Prefixed<'_>> {
    let mut seen = std::collections::HashSet::new();
    let mut list = Vec::new();
    for (rule, route) in routes.iter().enumerate().take_while(|(_, route)| !route.matches.is_empty()) {
        for (index, item) in route.matches.iter().enumerate() {
            if !seen.insert(identity(item)) {
                continue;
            }
            let Some(StringMatch::Prefix(prefix)) = &item.uri else { continue };
            if prefix.is_empty() {
                continue;
            }
            let method = match condition(item.method.as_ref()) {
                // Without a method Istio takes GET for granted here.
                ("", _) => ("exact", "GET"),
                method => method,
            };
            list.push(Prefixed {
                rule,
                index,
                prefix,
                port: item.port.filter(|port| *port != 0),
                method,
                authority: condition(item.authority.as_ref()),
                named: [conditions(&item.headers), conditions(&item.query_params), conditions(&item.without_headers)],
            });
        }
    }
    list
}

impl Prefixed<'_> {
    /// Whether Istio says that what `later` matches is matched here already.
    fn takes(&self, later: &Self) -> bool {
        let takes =
            |ours: Text<'_>, theirs: Text<'_>| ours == theirs || theirs.0.is_empty() || ours.0 == theirs.0 && ours.1.starts_with(theirs.1);
        later.prefix.starts_with(self.prefix)
            && self.port == later.port
            && takes(self.method, later.method)
            && takes(self.authority, later.authority)
            && self.named.iter().zip(&later.named).all(|(ours, theirs)| {
                ours.len() == theirs.len() && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|theirs| takes(*value, *theirs)))
            })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecondCatchAll => f.write_str("only the last rule can have no matches"),
            Self::AfterCatchAll => f.write_str("a route without matches comes before it"),
            Self::AllMatchesUsed => f.write_str("earlier rules use all its matches"),
            Self::Duplicate { matched, by } => write!(f, "match {matched} is also one of rule {by}"),
            Self::Overlap { matched, earlier, by } => {
                write!(
                    f,
                    "match {} of prefix {} is taken by match {} of prefix {} of rule {by}",
                    matched.0, matched.1, earlier.0, earlier.1
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn found(http: serde_json::Value) -> Vec<(usize, Option<usize>, String)> {
        let spec: VirtualService = serde_json::from_value(json!({ "hosts": ["a.example.com"], "http": http })).unwrap();
        unreachable(&spec).into_iter().map(|item| (item.rule, item.matched, item.reason.to_string())).collect()
    }

    #[test]
    fn nothing_is_left_after_a_route_without_conditions() {
        let route = json!([{ "destination": { "host": "b" } }]);
        let any = json!({ "route": route });
        let some = json!({ "route": route, "match": [{ "uri": { "exact": "/a" } }] });
        assert_eq!(found(json!([some, any])), []);
        assert_eq!(found(json!([any, some])), [(1, None, Reason::AfterCatchAll.to_string())]);
        assert_eq!(found(json!([any, any])), [(1, None, Reason::SecondCatchAll.to_string())]);
    }

    #[test]
    fn the_same_match_twice_takes_nothing_the_second_time() {
        let route = json!([{ "destination": { "host": "b" } }]);
        let first = json!({ "route": route, "match": [{ "uri": { "exact": "/a" } }] });
        let second = json!({ "route": route, "match": [{ "name": "again", "uri": { "exact": "/a" } }] });
        let reasons: Vec<_> = found(json!([first, second])).into_iter().map(|(rule, matched, _)| (rule, matched)).collect();
        assert_eq!(reasons, [(1, Some(0)), (1, None)]);
    }

    #[test]
    fn a_prefix_takes_longer_ones_whose_other_conditions_begin_alike() {
        let route = json!([{ "destination": { "host": "b" } }]);
        let with = |item: serde_json::Value| json!({ "route": route, "match": [item] });
        let short = with(json!({ "uri": { "prefix": "/api" } }));
        assert_eq!(found(json!([short, with(json!({ "uri": { "prefix": "/api/v1" } }))])).len(), 1);
        assert_eq!(found(json!([short, with(json!({ "uri": { "prefix": "/other" } }))])), []);
        assert_eq!(found(json!([short, with(json!({ "uri": { "prefix": "/api/v1" }, "port": 80 }))])), []);
        assert_eq!(found(json!([short, with(json!({ "uri": { "prefix": "/api/v1" }, "method": { "exact": "POST" } }))])), []);
        assert_eq!(found(json!([with(json!({ "uri": { "prefix": "/api/v1" } })), short])), []);
    }
}
