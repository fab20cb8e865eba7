//! What a reader of a broken file is told.

#![allow(clippy::unwrap_used)]
//! What people are told: golden messages.

use expect_test::{Expect, expect};

use super::*;

fn check(yaml: &str, expected: Expect) {
    let loaded = documents("mesh.yaml", yaml.as_bytes());
    let text: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    expected.assert_eq(&text.join("\n\n"));
}

#[test]
fn an_unknown_field_is_shown_with_what_was_meant() {
    check(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: web}
spec:
  hosts: [shop]
  http:
  - route:
    - destination: {host: shop, subset: v1}
      wieght: 80
",
        expect![[r#"
            error: unknown field `wieght`
             --> mesh.yaml:9:7
              |
            9 |       wieght: 80
              |       ^^^^^^
              = field: spec.http[0].route[0].wieght of VirtualService web/shop
              = expected: one of destination, weight, headers
              = help: did you mean `weight`?"#]],
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_the_right_one() {
    check(
        r#"apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - timeout: 5
    route:
    - destination: {host: shop}
      weight: "80"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop2}
spec:
  hosts: [shop]
  http:
  - route:
    - destination: {host: shop}
      weight: "80"
"#,
        expect![[r#"
            error: found the number `5`
             --> mesh.yaml:7:14
              |
            7 |   - timeout: 5
              |              ^
              = field: spec.http[0].timeout of VirtualService default/shop
              = expected: a duration such as `5s`, `1.5s` or `100ms`
              = help: did you mean `5s`?

            error: must be a whole number (type integer), not a string (found `80`)
              --> mesh.yaml:10:15
               |
            10 |       weight: "80"
               |               ^^^^
               = field: spec.http[0].route[0].weight of VirtualService default/shop
               = help: remove the quotes: 80

            error: found the string "80"
              --> mesh.yaml:20:15
               |
            20 |       weight: "80"
               |               ^^^^
               = field: spec.http[0].route[0].weight of VirtualService default/shop2
               = expected: a number
               = help: remove the quotes: 80"#]],
    );
}

#[test]
fn a_name_of_a_value_is_suggested() {
    check(
        "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all}
spec:
  mtls: {mode: STRCIT}
",
        expect![[r#"
            error: Unsupported value: "STRCIT"
             --> mesh.yaml:5:16
              |
            5 |   mtls: {mode: STRCIT}
              |                ^^^^^^
              = field: spec.mtls.mode of PeerAuthentication default/all
              = expected: one of UNSET, DISABLE, PERMISSIVE, STRICT
              = help: did you mean `STRICT`?"#]],
    );
}

#[test]
fn what_excludes_each_other_is_named() {
    check(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match:
    - uri: {exact: /a, prefix: /b}
    redirect: {uri: /b}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop2}
spec:
  hosts: [shop]
  http:
  - redirect: {uri: /b}
    route:
    - destination: {host: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop3}
spec:
  hosts: [shop]
  http:
  - match:
    - uri: /b
    redirect: {uri: /b}
",
        expect![[r#"
            error: only one of exact, prefix, regex can be set, found exact and prefix
             --> mesh.yaml:8:12
              |
            8 |     - uri: {exact: /a, prefix: /b}
              |            ^^^^^^^^^^^^^^^^^^^^^^^
              = field: spec.http[0].match[0].uri of VirtualService default/shop
              = help: keep one of them

            error: HTTP route cannot contain both route and redirect: keep one
              --> mesh.yaml:17:5
               |
            17 |   - redirect: {uri: /b}
               |     ^^^^^^^^^^^^^^^^^^^
               = field: spec.http[0] of VirtualService default/shop2

            error: found the string "/b"
              --> mesh.yaml:28:12
               |
            28 |     - uri: /b
               |            ^^
               = field: spec.http[0].match[0].uri of VirtualService default/shop3
               = expected: a mapping with one of exact, prefix, regex"#]],
    );
}

#[test]
fn a_kind_or_version_that_is_off_is_put_right() {
    check(
        "apiVersion: networking.istio.io/v1
kind: VirtualServcie
metadata: {name: a}
---
apiVersion: networking.istio.io/v2
kind: VirtualService
metadata: {name: a}
---
apiVersion: v1
kind: DestinationRule
metadata: {name: a}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: a}
---
kind: Service
metadata: {name: a}
",
        expect![[r#"
            error: unknown kind `VirtualServcie`
             --> mesh.yaml:2:7
              |
            2 | kind: VirtualServcie
              |       ^^^^^^^^^^^^^^
              = field: kind
              = expected: one of WorkloadEntry, ServiceEntry, VirtualService, DestinationRule, Gateway, Sidecar, WorkloadGroup, EnvoyFilter, ProxyConfig
              = help: did you mean `VirtualService`?

            error: unknown version `v2`
             --> mesh.yaml:5:13
              |
            5 | apiVersion: networking.istio.io/v2
              |             ^^^^^^^^^^^^^^^^^^^^^^
              = field: apiVersion
              = expected: one of v1, v1beta1, v1alpha3
              = help: use apiVersion: networking.istio.io/v1

            error: apiVersion `v1` has no kind DestinationRule
             --> mesh.yaml:9:13
              |
            9 | apiVersion: v1
              |             ^^
              = field: apiVersion
              = help: use apiVersion: networking.istio.io/v1

            note: Role (rbac.authorization.k8s.io/v1) is not read by the mesh, skipped
              --> mesh.yaml:14:7
               |
            14 | kind: Role
               |       ^^^^

            error: Required value: the field is missing
              --> mesh.yaml:17:1
               |
            17 | kind: Service
               | ^^^^^^^^^^^^^
               = field: apiVersion"#]],
    );
}

#[test]
fn one_bad_document_hides_nothing_of_the_others() {
    let text = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b
spec: {host: b}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: c}
spec: {hots: c}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d}
spec: {host: d}
";
    let loaded = documents("mesh.yaml", text.as_bytes());
    let names: Vec<_> = loaded.objects.iter().map(|object| object.resource.meta().name.as_str()).collect();
    assert_eq!(names, ["a", "d"]);
    assert_eq!(loaded.refused, [(Kind::DestinationRule, Key::new("default", "c"))]);
    assert!(loaded.unidentified);
    check(
        text,
        expect![[r#"
            error: not YAML: while parsing a flow mapping, did not find expected ',' or '}'
             --> mesh.yaml:9:5
              |
            9 | spec: {host: b}
              |     ^

            error: unknown field `hots`
              --> mesh.yaml:14:8
               |
            14 | spec: {hots: c}
               |        ^^^^
               = field: spec.hots of DestinationRule default/c
               = expected: one of host, trafficPolicy, subsets, exportTo, workloadSelector
               = help: did you mean `host`?

            error: Required value: the field is missing
              --> mesh.yaml:14:7
               |
            14 | spec: {hots: c}
               |       ^^^^^^^^^
               = field: spec.host of DestinationRule default/c
               = help: add `host`"#]],
    );
}

#[test]
fn a_list_is_read_item_by_item() {
    let text = "apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1beta1
  kind: DestinationRule
  metadata: {name: a, managedFields: [{manager: kubectl}], uid: x}
  spec: {host: a}
  status: {conditions: []}
- apiVersion: networking.istio.io/v1
  kind: DestinationRule
  metadata: {nam: b}
  spec: {host: b}
";
    let loaded = documents("mesh.yaml", text.as_bytes());
    assert_eq!(loaded.objects.len(), 1);
    assert_eq!(loaded.objects[0].line, 4);
    assert_eq!(loaded.objects[0].resource.meta().key().to_string(), "default/a");
    check(
        text,
        expect![[r#"
        error: unknown field `nam`
          --> mesh.yaml:11:14
           |
        11 |   metadata: {nam: b}
           |              ^^^
           = field: items[1].metadata.nam
           = expected: one of name, namespace, labels, annotations, creationTimestamp, uid, generation, resourceVersion, ownerReferences, generateName, selfLink, deletionTimestamp, deletionGracePeriodSeconds, finalizers, managedFields
           = help: did you mean `name`?"#]],
    );
}

#[test]
fn an_object_defined_twice_stays_as_it_was_first() {
    check(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: b}
",
        expect![[r#"
            error: DestinationRule default/a is defined twice, first on line 1
             --> mesh.yaml:6:1
              |
            6 | apiVersion: networking.istio.io/v1
              | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              = object: DestinationRule default/a
              = help: remove one of them, or give it another name"#]],
    );
}

#[test]
fn what_is_no_object_is_refused() {
    check(
        "- a\n- b\n",
        expect![[r#"
        error: found a list where a Kubernetes object was expected
         --> mesh.yaml:1:1
          |
        1 | - a
          | ^^^
          = expected: apiVersion, kind, metadata and spec"#]],
    );
    check(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\n",
        expect![[r#"
        error: Required value: the field is missing
         --> mesh.yaml:1:1
          |
        1 | apiVersion: networking.istio.io/v1
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = field: spec of ServiceEntry default/a"#]],
    );
    check(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: A_b}\nspec: {hosts: [a.b]}\n",
        expect![[r#"
        error: `A_b` is not a name
         --> mesh.yaml:3:18
          |
        3 | metadata: {name: A_b}
          |                  ^^^
          = field: metadata.name of ServiceEntry default/A_b
          = help: use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit"#]],
    );
    let latin1 = documents("mesh.yaml", b"apiVersion: v1\nkind: \xe9\n");
    expect![[r#"
        error: not YAML: the text is not UTF-8 (byte 0xe9); save the file as UTF-8
         --> mesh.yaml:2:7
          |
        2 | kind: �
          |       ^"#]]
    .assert_eq(&latin1.diagnostics[0].to_string());
}

#[test]
fn comments_and_empty_documents_are_nothing() {
    assert_eq!(documents("mesh.yaml", b"# nothing\n---\n---\n"), Loaded::default());
}

#[test]
fn what_is_refused_is_named_and_what_is_not_ours_keeps_nothing_alive() {
    let of = |group: &str, kind: &str| {
        let loaded = documents("mesh.yaml", format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: a}}\n").as_bytes());
        assert!(loaded.has_errors(), "{group} {kind}");
        (loaded.refused, loaded.unidentified)
    };
    let route = vec![(Kind::VirtualService, Key::new("default", "a"))];
    assert_eq!(of("networking.istio.io/v2", "VirtualService"), (route.clone(), false));
    assert_eq!(of("networking.istio.io/v1", "VirtualServcie"), (route, false));
    assert_eq!(of("networking.istio.io/v1", "Whatever"), (vec![], true));
}

proptest::proptest! {
    /// Whatever is in a file, it is answered, and every message can be printed.
    #[test]
    fn any_text_is_answered(text in "([a-z]{1,5}: |- |\\[|\\]|\\{|\\}|\n|---\n|  |\t|\"|'|&a |\\*a|é|kind: Gateway\n|apiVersion: v1\n|x{200}){0,30}") {
        for diagnostic in documents("a.yaml", text.as_bytes()).diagnostics {
            proptest::prop_assert!(!diagnostic.to_string().is_empty());
        }
    }
}
