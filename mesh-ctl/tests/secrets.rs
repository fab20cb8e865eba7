//! A Kubernetes Secret in the folder, and the gateway that ends TLS with it: served, rotated, kept when it breaks and when it goes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_ctl::{
    demo::{GATEWAY, HOST, Sample, spec},
    mesh::{Mesh, folder::write_atomically, process::Mode},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const DEADLINE: Duration = Duration::from_secs(30);

/// One gateway port that ends TLS, one that asks clients for a certificate, too, and one whose Secret is of a namespace that the gateway is not of.
const GATEWAYS: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 8443, name: https, protocol: HTTPS}
      hosts: ["shop.example.com"]
      tls: {mode: SIMPLE, credentialName: shop-cert}
    - port: {number: 8444, name: mutual, protocol: HTTPS}
      hosts: ["shop.example.com"]
      tls: {mode: MUTUAL, credentialName: shop-cert}
    - port: {number: 8445, name: foreign, protocol: HTTPS}
      hosts: ["shop.example.com"]
      tls: {mode: SIMPLE, credentialName: "kubernetes://shop/foreign"}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secure, namespace: shop}
spec:
  hosts: ["shop.example.com"]
  gateways: [secure]
  http: [{route: [{destination: {host: frontend}}]}]
"#;

/// A self-signed certificate and its key.
struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

fn secret(namespace: &str, name: &str, values: &[(&str, &str)]) -> String {
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n");
    for (key, value) in values {
        text.push_str(&format!("  {key}: |\n"));
        value.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}

fn write_secret(folder: &Path, pair: &Pair, clients: &Pair) {
    let values = [("tls.crt", pair.chain.as_str()), ("tls.key", &pair.key), ("ca.crt", &clients.chain)];
    write_atomically(&folder.join("secret.yaml"), &secret("mesh-system", "shop-cert", &values)).unwrap();
}

/// A client that trusts these certificates only.
struct Client {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Client {
    fn new(mesh: &Mesh, port: u16, trusted: &[&Pair], own: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        trusted.iter().for_each(|pair| roots.add(pair.der()).unwrap());
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match own {
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![pair.der()], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = rustls::client::Resumption::disabled();
        let address = SocketAddr::from((mesh.place(GATEWAY).unwrap().address, port));
        Self { connector: TlsConnector::from(Arc::new(config)), address }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.connector.connect(ServerName::try_from(HOST).unwrap(), stream).await
    }

    /// The status line's code over a connection.
    async fn get(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).await?;
            answer.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if read == 0 || length.is_none_or(|length: usize| body.len() >= length) {
                    return Ok(head.split(' ').nth(1).unwrap_or_default().to_owned());
                }
            }
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// One whole request.
    async fn whole(&self) -> std::io::Result<String> {
        Self::get(&mut self.connect().await?).await
    }

    /// Until a request succeeds.
    async fn until(&self) -> TlsStream<TcpStream> {
        let began = Instant::now();
        loop {
            let attempt = async {
                let mut stream = self.connect().await?;
                Ok::<_, std::io::Error>((Self::get(&mut stream).await?, stream))
            };
            match attempt.await {
                Ok((code, stream)) if code == "200" => return stream,
                other => assert!(began.elapsed() < DEADLINE, "{:?}", other.map(|(code, _)| code)),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A page of the control plane.
async fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn page_with(address: SocketAddr, path: &str, what: &str) -> String {
    let began = Instant::now();
    loop {
        let text = page(address, path).await;
        if text.contains(what) {
            return text;
        }
        assert!(began.elapsed() < DEADLINE, "{what} is not in {path}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_served_rotated_and_kept() {
    mesh_runtime::tls::install_provider();
    let sample = Sample::copy().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (first, second, client) = (Pair::new(), Pair::new(), Pair::new());
    let foreign = secret("shop", "foreign", &[("tls.crt", &first.chain), ("tls.key", &first.key)]);
    std::fs::write(folder.path().join("gateways.yaml"), format!("{GATEWAYS}---\n{foreign}")).unwrap();
    write_secret(folder.path(), &first, &client);
    let mut spec = spec(&sample, Duration::from_secs(3600), 1);
    spec.access_log = false;
    spec.config.push(folder.path().to_owned());
    let mesh = Mesh::start(spec, Mode::InProcess, &mut |_| {}).await.expect("the mesh starts");

    // Served, and what needs another namespace's Secret is not.
    let old = Client::new(&mesh, 8443, &[&first], None);
    let mut open = old.until().await;
    assert!(Client::new(&mesh, 8445, &[&first], None).connect().await.is_err());
    let secrets = page_with(mesh.pilot_monitoring(), "/debug/secretz", "in namespace shop").await;
    assert!(secrets.contains("kubernetes://shop-cert") && !secrets.contains("BEGIN"), "{secrets}");
    let configuration = page(mesh.pilot_monitoring(), "/debug/configz").await;
    assert!(configuration.contains("secure") && !configuration.contains("tls.key"));
    let dump = page(mesh.place(GATEWAY).unwrap().admin(), "/config_dump").await;
    assert!(dump.contains("kubernetes://shop-cert") && dump.contains("W3JlZGFjdGVkXQ=="), "{dump}");
    for line in first.key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!dump.contains(line) && !secrets.contains(line));
    }
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &first.key);
    assert!(!dump.contains(&encoded[..64]));

    // Clients prove themselves by the CA of the same Secret.
    Client::new(&mesh, 8444, &[&first], Some(&client)).until().await;
    assert!(Client::new(&mesh, 8444, &[&first], None).whole().await.is_err());
    assert!(Client::new(&mesh, 8444, &[&first], Some(&second)).whole().await.is_err());

    // Rotated: every new connection is served, by the one certificate or the other, and an open one goes on.
    let either = Client::new(&mesh, 8443, &[&first, &second], None);
    write_secret(folder.path(), &second, &client);
    let began = Instant::now();
    loop {
        let mut stream = either.connect().await.unwrap();
        assert_eq!(Client::get(&mut stream).await.unwrap(), "200");
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        if leaf == second.der() {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "the new certificate does not arrive");
    }
    assert_eq!(Client::get(&mut open).await.unwrap(), "200");
    assert!(old.connect().await.is_err());

    // Broken: refused with a reason, and without a word of the key; the last good one stays.
    let broken = Pair { chain: second.chain.clone(), key: first.key.clone() };
    write_secret(folder.path(), &broken, &client);
    let status = page_with(mesh.galley_monitoring(), "/debug/status", "does not belong").await;
    assert!(status.contains("shop-cert") && !status.contains(first.key.lines().nth(1).unwrap()), "{status}");
    let new = Client::new(&mesh, 8443, &[&second], None);
    assert_eq!(new.whole().await.unwrap(), "200");

    // Gone: what is in force stays in force.
    std::fs::remove_file(folder.path().join("secret.yaml")).unwrap();
    page_with(mesh.pilot_monitoring(), "/debug/secretz", "no Secret mesh-system/shop-cert").await;
    assert_eq!(new.whole().await.unwrap(), "200");
    mesh.stop().await;
}
