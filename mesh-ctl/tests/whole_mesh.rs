//! The whole mesh in one process: Galley, Pilot, Citadel, sidecars and the shop on a loopback subnet of their own, as in `meshctl demo`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use http::StatusCode;
use mesh_ctl::{
    demo::{GATEWAY, HOST, Sample, entrance, spec},
    load::Caller,
    mesh::{Mesh, process::Mode},
};

const DEADLINE: Duration = Duration::from_secs(30);

async fn shop() -> (Mesh, Sample) {
    mesh_runtime::tls::install_provider();
    let sample = Sample::copy().unwrap();
    let mut spec = spec(&sample, Duration::from_secs(3600), 1);
    spec.access_log = false;
    let mesh = Mesh::start(spec, Mode::InProcess, &mut |_| {}).await.expect("the mesh starts");
    (mesh, sample)
}

fn caller(mesh: &Mesh) -> Caller {
    Caller::new(entrance(mesh).unwrap(), HOST).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_crosses_the_mesh_and_policies_hold() {
    let (mesh, sample) = shop().await;
    let mut caller = caller(&mesh);

    let answer = caller.get("/", &[("x-user", "tester")]).await.unwrap();
    assert_eq!((answer.status, answer.advertisement()), (StatusCode::OK, Some("v2")), "{}", answer.text);
    assert_eq!(answer.body.pointer("/from/from/service").and_then(|v| v.as_str()), Some("inventory"), "{}", answer.text);

    let denied = caller.get("/direct", &[]).await.unwrap();
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{}", denied.text);
    assert!(denied.text.contains("RBAC: access denied"), "{}", denied.text);

    // An edit arrives: everything to v1.
    sample.set_weights(100, 0).unwrap();
    let edited = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 50 {
        let answer = caller.get("/", &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        in_a_row = if answer.advertisement() == Some("v1") { in_a_row + 1 } else { 0 };
        assert!(edited.elapsed() < DEADLINE, "the edit does not arrive");
    }

    // A broken file changes nothing.
    let text = std::fs::read_to_string(sample.folder().join("traffic.yaml")).unwrap();
    std::fs::write(sample.folder().join("traffic.yaml"), text.replace("route:", "roote:")).unwrap();
    for _ in 0..50 {
        assert_eq!(caller.get("/", &[]).await.unwrap().status, StatusCode::OK);
    }
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_hosts_and_strangers_are_refused() {
    let (mesh, _sample) = shop().await;
    let mut elsewhere = Caller::new(entrance(&mesh).unwrap(), "elsewhere.example.com").unwrap();
    assert_eq!(elsewhere.get("/", &[]).await.unwrap().status, StatusCode::NOT_FOUND);

    let callee = mesh.place("advertisement-v1").unwrap();
    let seen = mesh_ctl::stranger::call((callee.address, 8080).into(), "GET / HTTP/1.1\r\nhost: advertisement\r\n\r\n").await;
    assert_eq!(seen.answer, None);
    assert!(seen.certificate.is_some(), "{:?}", seen.refused);
    assert!(mesh.place(GATEWAY).is_some());
    mesh.stop().await;
}
