//! Who is let in, and which policy said so.

#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::snapshot::{HeaderKey, HeaderTest, StringPattern};

fn string(pattern: StringPattern) -> StringMatcher {
    StringMatcher { pattern, ignore_case: false }
}

fn exact(text: &str) -> StringMatcher {
    string(StringPattern::Exact(text.into()))
}

fn header(name: HeaderKey, test: HeaderTest) -> HeaderMatcher {
    HeaderMatcher { name, test, invert: false, missing_as_empty: false }
}

fn x(value: &str) -> HeaderMatcher {
    header(HeaderKey::Name("x".parse().unwrap()), HeaderTest::Value(exact(value)))
}

fn peer(uri: &str, verified: bool) -> PeerTls {
    PeerTls {
        peer_id: None,
        peer_uris: Arc::from([uri.into()]),
        peer_dns: Arc::from(["dns.name".into()]),
        peer_subject: Some("CN=subject".into()),
        peer_certificate: Some(Arc::from([0u8])),
        verified,
        local_uri: None,
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        alpn: None,
        xfcc: std::sync::OnceLock::new(),
    }
}

struct World {
    headers: HeaderMap,
    path: &'static str,
    tls: Option<PeerTls>,
    metadata: Vec<(&'static str, Value)>,
}

impl World {
    fn new() -> Self {
        Self { headers: HeaderMap::new(), path: "/admin?x#y", tls: None, metadata: Vec::new() }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn judge(&self, rules: Rules) -> Judgement {
        let request = RequestFacts {
            method: &Method::GET,
            scheme: "http",
            authority: "host:80",
            path: self.path,
            headers: &self.headers,
            tls: self.tls.as_ref(),
        };
        let facts = AuthzFacts {
            request: Some(&request),
            destination: "10.0.0.1:8080".parse().unwrap(),
            direct_remote: "10.0.0.9".parse().unwrap(),
            remote: "203.0.113.7".parse().unwrap(),
            server_name: Some("sni.example"),
            tls: self.tls.as_ref(),
            metadata: &self.metadata,
        };
        let rbac = Rbac { rules: Some(rules), shadow: None, stat_prefix: "".into(), shadow_stat_prefix: "".into() };
        let verdict = authorize(&rbac, &facts);
        let enforced = verdict.enforced.unwrap();
        assert_eq!(verdict.allowed, enforced.allowed);
        enforced
    }

    fn permits(&self, permission: Permission) -> bool {
        self.judge(allow(vec![policy("p", permission, Principal::Any)])).allowed
    }

    fn is(&self, principal: Principal) -> bool {
        self.judge(allow(vec![policy("p", Permission::Any, principal)])).allowed
    }
}

fn policy(name: &str, permission: Permission, principal: Principal) -> RbacPolicy {
    RbacPolicy { name: name.into(), permissions: vec![permission], principals: vec![principal] }
}

fn allow(policies: Vec<RbacPolicy>) -> Rules {
    Rules { action: RbacAction::Allow, policies }
}

fn deny(policies: Vec<RbacPolicy>) -> Rules {
    Rules { action: RbacAction::Deny, policies }
}

#[test]
fn permissions() {
    let world = World::new().header("x", "a");
    let cases = [
        (Permission::Any, true),
        (Permission::And(vec![Permission::Any, Permission::Not(Box::new(Permission::Any))]), false),
        (Permission::Or(vec![Permission::Not(Box::new(Permission::Any)), Permission::Any]), true),
        (Permission::Or(vec![]), false),
        (Permission::Header(x("a")), true),
        (Permission::Header(x("b")), false),
        (Permission::Header(header(HeaderKey::Method, HeaderTest::Value(exact("GET")))), true),
        (Permission::Path(exact("/admin")), true),
        (Permission::Path(exact("/admin?x")), false),
        (Permission::PathTemplate(regex::Regex::new("^/[^/]+$").unwrap()), true),
        (Permission::DestinationIp("10.0.0.0/24".parse().unwrap()), true),
        (Permission::DestinationIp("10.0.1.0/24".parse().unwrap()), false),
        (Permission::DestinationPorts(8080..8081), true),
        (Permission::DestinationPorts(8081..8082), false),
        (Permission::ServerName(exact("sni.example")), true),
    ];
    for (permission, expected) in cases {
        let text = format!("{permission:?}");
        assert_eq!(world.permits(permission), expected, "{text}");
    }
}

#[test]
fn principals() {
    let uri = "spiffe://td/ns/a/sa/b";
    let world = World { tls: Some(peer(uri, true)), ..World::new() };
    let cases = [
        (Principal::Authenticated(None), true),
        (Principal::Authenticated(Some(exact(uri))), true),
        (Principal::Authenticated(Some(exact("dns.name"))), true),
        (Principal::Authenticated(Some(exact("CN=subject"))), true),
        (Principal::Authenticated(Some(exact("spiffe://td/ns/a/sa/c"))), false),
        (Principal::DirectIp("10.0.0.9/32".parse().unwrap()), true),
        (Principal::DirectIp("203.0.113.0/24".parse().unwrap()), false),
        (Principal::RemoteIp("203.0.113.0/24".parse().unwrap()), true),
        (Principal::RemoteIp("10.0.0.9/32".parse().unwrap()), false),
        (Principal::Not(Box::new(Principal::Any)), false),
        (Principal::Path(string(StringPattern::Prefix("/adm".into()))), true),
    ];
    for (principal, expected) in cases {
        let text = format!("{principal:?}");
        assert_eq!(world.is(principal), expected, "{text}");
    }
}

#[test]
fn nobody_without_a_verified_certificate() {
    let any = || Principal::Authenticated(Some(string(StringPattern::Regex(regex::Regex::new("^.*$").unwrap()))));
    for tls in [None, Some(peer("spiffe://td/ns/a/sa/b", false))] {
        let world = World { tls, ..World::new() };
        assert!(!world.is(Principal::Authenticated(None)));
        assert!(!world.is(any()));
    }
}

#[test]
fn actions() {
    let world = World::new();
    let matching = || vec![policy("p", Permission::Any, Principal::Any)];
    let other = || vec![policy("p", Permission::DestinationPorts(1..2), Principal::Any)];
    assert!(world.judge(allow(matching())).allowed);
    assert!(!world.judge(allow(other())).allowed);
    assert!(!world.judge(allow(vec![])).allowed, "ALLOW without policies allows nothing");
    assert!(!world.judge(deny(matching())).allowed);
    assert!(world.judge(deny(other())).allowed);
    let log = world.judge(Rules { action: RbacAction::Log, policies: matching() });
    assert!(log.allowed && log.policy.is_some());
}

#[test]
fn no_rules_allow_and_shadow_rules_decide_nothing() {
    let facts = AuthzFacts {
        request: None,
        destination: "10.0.0.1:1".parse().unwrap(),
        direct_remote: "10.0.0.2".parse().unwrap(),
        remote: "10.0.0.2".parse().unwrap(),
        server_name: None,
        tls: None,
        metadata: &[],
    };
    let shadow = Some(deny(vec![policy("p", Permission::Any, Principal::Any)]));
    let verdict = authorize(&Rbac { rules: None, shadow, stat_prefix: "".into(), shadow_stat_prefix: "".into() }, &facts);
    assert!(verdict.allowed && verdict.enforced.is_none());
    assert!(!verdict.shadow.unwrap().allowed);
    let http_only = Rbac {
        rules: Some(allow(vec![policy("p", Permission::Header(x("a")), Principal::Any)])),
        shadow: None,
        stat_prefix: "".into(),
        shadow_stat_prefix: "".into(),
    };
    assert!(!authorize(&http_only, &facts).allowed, "no request, no header");
}

#[test]
fn says_which_policy_and_what_of_it() {
    let both = RbacPolicy {
        name: "ns[default]-policy[frontend]-rule[0]".into(),
        permissions: vec![Permission::DestinationPorts(1..2), Permission::Any],
        principals: vec![Principal::Any],
    };
    let judgement = World::new().judge(deny(vec![policy("a", Permission::DestinationPorts(1..2), Principal::Any), both]));
    assert_eq!(judgement.to_string(), "denied by policy `ns[default]-policy[frontend]-rule[0]` (permission #1, principal #0)");
    assert_eq!(judgement.details(), "rbac_access_denied_matched_policy[ns[default]-policy[frontend]-rule[0]]");
    assert_eq!(World::new().judge(allow(vec![])).details(), "rbac_access_denied_matched_policy[none]");
}

#[test]
fn repeated_headers_never_help_the_caller() {
    let world = World::new().header("x", "good").header("x", "evil");
    assert!(!world.judge(deny(vec![policy("p", Permission::Header(x("evil")), Principal::Any)])).allowed);
    let but_good = || Permission::Header(HeaderMatcher { invert: true, ..x("good") });
    assert!(!world.judge(deny(vec![policy("p", but_good(), Principal::Any)])).allowed, "deny all but good");
    let not_evil = || Permission::Not(Box::new(Permission::Header(x("evil"))));
    assert!(!world.permits(not_evil()), "allow all but evil");
    let inverted = Permission::Header(HeaderMatcher { invert: true, ..x("evil") });
    assert!(!world.permits(inverted), "allow all but evil, inverted");
}

#[test]
fn metadata_with_nested_lists() {
    let claims = json!({"iss": "me", "groups": ["a", ["b", "c"]], "n": 3, "ok": true, "nil": null});
    let world = World { metadata: vec![("envoy.filters.http.jwt_authn", claims)], ..World::new() };
    let at = |path: &[&str], value| {
        Permission::Metadata(MetadataMatcher {
            filter: "envoy.filters.http.jwt_authn".into(),
            path: path.iter().map(|key| Arc::from(*key)).collect(),
            value,
            invert: false,
        })
    };
    let text = |text: &str| ValueMatcher::String(exact(text));
    let any = |inner| ValueMatcher::Any(Box::new(inner));
    let cases = [
        (at(&["iss"], text("me")), true),
        (at(&["iss"], text("you")), false),
        (at(&["groups"], any(text("a"))), true),
        (at(&["groups"], any(text("b"))), false),
        (at(&["groups"], any(any(text("b")))), true),
        (at(&["groups"], ValueMatcher::Or(vec![text("a"), any(text("a"))])), true),
        (at(&["n"], ValueMatcher::Number(3.0)), true),
        (at(&["ok"], ValueMatcher::Bool(true)), true),
        (at(&["nil"], ValueMatcher::Null), true),
        (at(&["iss"], ValueMatcher::Present(true)), true),
        (at(&["none"], ValueMatcher::Present(true)), false),
        (at(&["groups"], ValueMatcher::Present(true)), false),
        (at(&["none", "deeper"], text("")), false),
    ];
    for (permission, expected) in cases {
        let text = format!("{permission:?}");
        assert_eq!(world.permits(permission), expected, "{text}");
    }
}

fn numbered(which: u8) -> Permission {
    let value = if which & 1 == 0 { "a" } else { "b" };
    match which / 2 {
        0 => Permission::Header(x(value)),
        1 => Permission::Not(Box::new(Permission::Header(x(value)))),
        2 => Permission::Header(HeaderMatcher { invert: true, ..x(value) }),
        3 => Permission::Path(exact(if which & 1 == 0 { "/admin" } else { "/x" })),
        4 => Permission::And(vec![numbered(0), numbered(3)]),
        _ => Permission::DestinationPorts(8080..8081 + u32::from(which & 1)),
    }
}

proptest! {
    #[test]
    fn one_more_denial_never_allows_more(
        denials in prop::collection::vec(0u8..12, 0..4),
        more in 0u8..12,
        at in 0usize..4,
        values in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3),
    ) {
        let world = values.into_iter().fold(World::new(), |world, value| world.header("x", value));
        let judge = |denials: &[u8]| {
            let policies = denials.iter().map(|which| policy(&which.to_string(), numbered(*which), Principal::Any));
            world.judge(deny(policies.collect()))
        };
        let before = judge(&denials);
        let mut longer = denials.clone();
        longer.insert(at.min(denials.len()), more);
        let after = judge(&longer);
        prop_assert!(before.allowed || !after.allowed, "{before} but then {after}");
        if let Some(matched) = &after.policy {
            prop_assert!(longer.iter().any(|which| which.to_string() == *matched.policy), "a decision names existing policies");
        }
    }

    #[test]
    fn adding_a_repeated_value_never_passes_an_exact_denial(value in prop::sample::select(vec!["a", "b", "c"])) {
        let world = World::new().header("x", "a").header("x", value);
        prop_assert!(!world.judge(deny(vec![policy("p", Permission::Header(x("a")), Principal::Any)])).allowed);
    }
}
