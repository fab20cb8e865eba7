//! The rules of each identifier, as tables.
#![allow(clippy::unwrap_used)]

use super::*;

fn spiffe(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

#[test]
fn spiffe_ids_know_their_parts() {
    let id = spiffe("spiffe://cluster.local/ns/shop/sa/frontend");
    assert_eq!(id.trust_domain().as_str(), "cluster.local");
    assert_eq!(id.namespace().unwrap().as_str(), "shop");
    assert_eq!(id.service_account().unwrap().as_str(), "frontend");
    assert_eq!(id.path(), "/ns/shop/sa/frontend");
    assert_eq!(id.principal(), "cluster.local/ns/shop/sa/frontend");
    let made = SpiffeId::new(id.trust_domain(), id.namespace().unwrap(), id.service_account().unwrap());
    assert_eq!(made, id);
}

#[test]
fn other_paths_are_identities_without_a_namespace() {
    for text in ["spiffe://td", "spiffe://td/a", "spiffe://td/ns/A/sa/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td/ns/a/sa"] {
        let id = spiffe(text);
        assert_eq!((id.namespace(), id.service_account()), (None, None), "{text}");
        assert_eq!(id.to_string(), text);
    }
}

#[test]
fn malformed_spiffe_ids_are_refused() {
    let long_domain = format!("spiffe://{}/a", "d".repeat(256));
    let long_id = format!("spiffe://td/{}", "p".repeat(2048));
    for text in [
        "",
        "td/ns/a/sa/b",
        "SPIFFE://td/a",
        "https://td/a",
        "spiffe://",
        "spiffe:///a",
        "spiffe://TD/a",
        "spiffe://td/",
        "spiffe://td//a",
        "spiffe://td/a/",
        "spiffe://td/./a",
        "spiffe://td/../a",
        "spiffe://td/a%20",
        "spiffe://td:80/a",
        "spiffe://u@td/a",
        "spiffe://td/a?q",
        "spiffe://td/a#f",
        "spiffe://td/é",
        &long_domain,
        &long_id,
    ] {
        assert!(text.parse::<SpiffeId>().is_err(), "{text}");
    }
    assert!(format!("spiffe://{}/a", "d".repeat(255)).parse::<SpiffeId>().is_ok());
    assert!(format!("spiffe://td/{}", "p".repeat(2048 - 12)).parse::<SpiffeId>().is_ok());
}

#[test]
fn errors_say_what_and_where() {
    let error = "spiffe://td/a b".parse::<SpiffeId>().unwrap_err().to_string();
    assert_eq!(
        error,
        "\"spiffe://td/a b\" is not a SPIFFE ID: ' ' at position 13 is not allowed; allowed are A-Z, a-z, 0-9, '-', '.', '_' in path segments"
    );
    assert!("Shop".parse::<Namespace>().unwrap_err().to_string().contains("'S' at position 0"));
}

#[test]
fn kubernetes_names() {
    for good in ["a", "istio-system", "a1", "1a", &"n".repeat(63)] {
        assert!(good.parse::<Namespace>().is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "a.b", "A", "a_b", &"n".repeat(64)] {
        assert!(bad.parse::<Namespace>().is_err(), "{bad}");
    }
    for good in ["default", "a.b-c.d", &"n".repeat(253)] {
        assert!(good.parse::<ServiceAccount>().is_ok(), "{good}");
    }
    for bad in ["", ".a", "a.", "a..b", "a.-b", "a/b", &"n".repeat(254)] {
        assert!(bad.parse::<ServiceAccount>().is_err(), "{bad}");
    }
}

#[test]
fn host_names() {
    for (text, name) in [
        ("Reviews.Default.svc.cluster.local.", "reviews.default.svc.cluster.local"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
        ("*-eu.example.com", "*-eu.example.com"),
        ("reviews", "reviews"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(text.parse::<Hostname>().unwrap().as_str(), name);
    }
    for bad in ["", ".", "a..b", "a.*", "a.*.b", "**", "-a", "a-.b", "a_b", "*.", "ex ample", "ns/host", &"a".repeat(64)] {
        assert!(bad.parse::<Hostname>().is_err(), "{bad}");
    }
}

#[test]
fn wildcards_cover_what_is_below_them() {
    let covers = |a: &str, b: &str| a.parse::<Hostname>().unwrap().covers(&b.parse().unwrap());
    for (a, b, expected) in [
        ("*", "a.b", true),
        ("*", "*.a", true),
        ("*.a.b", "x.a.b", true),
        ("*.a.b", "y.x.a.b", true),
        ("*.a.b", "*.x.a.b", true),
        ("*.a.b", "*.a.b", true),
        ("*.a.b", "a.b", false),
        ("*.x.a.b", "*.a.b", false),
        ("a.b", "a.b", true),
        ("a.b", "*.b", false),
        ("*.a.b", "xa.b", false),
        ("*-eu.a", "x-eu.a", true),
    ] {
        assert_eq!(covers(a, b), expected, "{a} covers {b}");
    }
}

#[test]
fn serde_writes_and_checks_plain_strings() {
    let id = spiffe("spiffe://td/ns/a/sa/b");
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, "\"spiffe://td/ns/a/sa/b\"");
    assert_eq!(serde_json::from_str::<SpiffeId>(&json).unwrap(), id);
    assert!(serde_json::from_str::<SpiffeId>("\"http://td\"").is_err());
    assert_eq!(serde_json::from_str::<Namespace>("\"a\"").unwrap().to_string(), "a");
}

#[test]
fn revisions_are_bounded_and_printable() {
    assert_eq!(Revision::from_hash(0xab).to_string(), "00000000000000ab");
    assert!("2026-01-02T03:04:05Z/17".parse::<Revision>().is_ok());
    for bad in ["", "a\nb", &"r".repeat(257)] {
        assert!(bad.parse::<Revision>().is_err());
    }
}
