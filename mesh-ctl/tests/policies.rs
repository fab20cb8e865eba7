//! Policies that are accepted and not implemented: whoever they protect stays closed, and who refused what is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::StatusCode;
use mesh_ctl::{
    demo::{HOST, Sample, entrance, spec},
    load::Caller,
    mesh::{Mesh, folder::write_atomically, process::Mode},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const DEADLINE: Duration = Duration::from_secs(30);

const TOKENS: &str = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {selector: {matchLabels: {app: frontend}}, jwtRules: [{issuer: https://issuer.example.com, jwksUri: https://issuer.example.com/keys}]}
";

const PLUGIN: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: check, namespace: shop}
spec: {selector: {matchLabels: {app: frontend}}, url: oci://registry.example.com/check}
";

const BY_REFERENCE: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-reference, namespace: shop}
spec: {targetRefs: [{kind: Service, name: frontend}]}
";

async fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn page_with(address: SocketAddr, path: &str, what: &str) {
    let began = Instant::now();
    loop {
        let text = page(address, path).await;
        if text.contains(what) {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{what} is not in {path}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(caller: &mut Caller, status: StatusCode) {
    let began = Instant::now();
    loop {
        let answer = caller.get("/", &[]).await.unwrap();
        if answer.status == status {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{} instead of {status}: {}", answer.status, answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_implemented_stays_closed_and_is_told() {
    mesh_runtime::tls::install_provider();
    let sample = Sample::copy().unwrap();
    let mut spec = spec(&sample, Duration::from_secs(3600), 1);
    spec.access_log = false;
    let mesh = Mesh::start(spec, Mode::InProcess, &mut |_| {}).await.expect("the mesh starts");
    let mut caller = Caller::new(entrance(&mesh).unwrap(), HOST).unwrap();
    let file = sample.folder().join("more.yaml");
    until(&mut caller, StatusCode::OK).await;

    write_atomically(&file, TOKENS).unwrap();
    until(&mut caller, StatusCode::INTERNAL_SERVER_ERROR).await;
    page_with(mesh.galley_monitoring(), "/debug/status", "does not verify tokens").await;

    write_atomically(&file, PLUGIN).unwrap();
    until(&mut caller, StatusCode::FORBIDDEN).await;
    write_atomically(&file, &PLUGIN.replace("check}", "check, failStrategy: FAIL_OPEN}")).unwrap();
    until(&mut caller, StatusCode::OK).await;
    page_with(mesh.galley_monitoring(), "/debug/status", "accepted and not acted upon yet").await;

    // Pilot refuses it, and Galley tells.
    write_atomically(&file, BY_REFERENCE).unwrap();
    page_with(mesh.galley_monitoring(), "/debug/subscribers", "use selector").await;
    page_with(mesh.galley_monitoring(), "/metrics", "galley_mcp_refused_resources 1").await;
    mesh.stop().await;
}
