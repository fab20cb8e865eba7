//! The filter chains of one listener, none of which may match what another does: Envoy refuses the whole listener otherwise, and with it the port of
//! everybody who shares it. So what comes first (older, or of a Sidecar resource) keeps its server names, and what comes later goes without them.

use std::collections::BTreeSet;

use mesh_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch};

/// The chains of one listener.
#[derive(Clone, Default)]
pub(crate) struct Chains {
    list: Vec<FilterChain>,
    taken: BTreeSet<Key>,
    dropped: Vec<String>,
}

/// What a chain takes: port, transport, application protocol and server name; empty: any.
type Key = (u32, String, String, String);

impl Chains {
    /// Adds a chain, without the server names that are taken. False: nothing is left of it.
    pub(crate) fn add(&mut self, mut chain: FilterChain) -> bool {
        // The same chain for several services is no conflict.
        if self.list.contains(&chain) {
            return false;
        }
        let matcher = chain.filter_chain_match.clone().unwrap_or_default();
        let names = or_any(&matcher.server_names);
        let (free, taken): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| {
            let keys = keys(&matcher, name);
            let free = keys.iter().all(|key| !self.taken.contains(key));
            if free {
                self.taken.extend(keys);
            }
            free
        });
        self.dropped.extend(taken.into_iter().map(|name| if name.is_empty() { "*".to_owned() } else { name }));
        if free.is_empty() {
            return false;
        }
        if let Some(matcher) = chain.filter_chain_match.as_mut().filter(|matcher| !matcher.server_names.is_empty()) {
            matcher.server_names = free;
        }
        self.list.push(chain);
        true
    }

    pub(crate) fn extend(&mut self, chains: impl IntoIterator<Item = FilterChain>) {
        for chain in chains {
            self.add(chain);
        }
    }

    /// Whether a chain asks for what the TLS inspector finds out.
    pub(crate) fn inspect_tls(&self) -> bool {
        self.list.iter().any(|chain| chain.filter_chain_match.is_some())
    }

    /// Whether a chain asks for what the HTTP inspector finds out.
    pub(crate) fn inspect_http(&self) -> bool {
        self.taken.iter().any(|(_, _, application, _)| !application.is_empty())
    }

    /// Whether a chain takes everything that no other takes.
    pub(crate) fn exhaustive(&self) -> bool {
        self.taken.contains(&Key::default())
    }

    /// The chains, and the server names that were asked for twice.
    pub(crate) fn finish(self) -> (Vec<FilterChain>, Vec<String>) {
        (self.list, self.dropped)
    }
}

fn keys(matcher: &FilterChainMatch, name: &str) -> Vec<Key> {
    let port = matcher.destination_port.map_or(0, |port| port.value);
    let transport = &matcher.transport_protocol;
    or_any(&matcher.application_protocols).into_iter().map(|application| (port, transport.clone(), application, name.to_owned())).collect()
}

/// Each once, in order; none is any.
fn or_any(list: &[String]) -> Vec<String> {
    if list.is_empty() { vec![String::new()] } else { list.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::tcp::named;

    fn chain(name: &str, hosts: &[&str]) -> FilterChain {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        FilterChain { name: name.into(), filter_chain_match: Some(named(hosts)), ..Default::default() }
    }

    #[test]
    fn a_name_belongs_to_who_came_first() {
        let mut chains = Chains::default();
        assert!(chains.add(chain("old", &["a.com", "b.com", "A.com"])));
        assert!(chains.add(chain("young", &["b.com", "c.com"])));
        assert!(!chains.add(chain("late", &["a.com"])));
        assert!(chains.add(chain("any", &["*", "x.com"])));
        assert!(!chains.add(chain("any too", &["*"])));
        assert!(!chains.exhaustive());
        assert!(chains.add(FilterChain::default()));
        assert!(!chains.add(FilterChain::default()));
        assert!(chains.exhaustive() && chains.inspect_tls() && !chains.inspect_http());
        let (list, dropped) = chains.finish();
        let names: Vec<Vec<String>> =
            list.into_iter().map(|chain| chain.filter_chain_match.map_or_else(Vec::new, |matcher| matcher.server_names)).collect();
        assert_eq!(names, [vec!["a.com", "b.com"], vec!["c.com"], vec![], vec![]]);
        assert_eq!(dropped, ["a.com", "b.com", "a.com", "*"]);
    }
}
