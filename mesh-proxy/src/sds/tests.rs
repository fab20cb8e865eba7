//! Certificates served to others and written to files, over rotations.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_runtime::{
    connect::{Connector, Target},
    drain,
    xds::{
        Interest, Rejection, Sink, Update,
        client::{Client, Config, Mode},
    },
};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, SanType};
use tokio::sync::mpsc;

use super::*;

/// A fresh certificate of a fresh authority.
pub(crate) fn svid() -> Svid {
    let ca = CertifiedIssuer::self_signed(
        {
            let mut params = CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params
        },
        KeyPair::generate().unwrap(),
    )
    .unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("spiffe://cluster.local/ns/shop/sa/a".try_into().unwrap())];
    let certificate = params.signed_by(&key, &ca).unwrap();
    Svid::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes(), ca.pem().as_bytes()).unwrap()
}

struct Collect(mpsc::UnboundedSender<BTreeMap<String, Secret>>);

impl Sink for Collect {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let secrets = update.upserts.iter().map(|resource| (resource.name.to_string(), any::unpack::<Secret>(&resource.body).unwrap()));
        let _ = self.0.send(secrets.collect());
        Vec::new()
    }
}

fn chain(secret: &Secret) -> Vec<u8> {
    let Some(Type::TlsCertificate(certificate)) = &secret.r#type else { return Vec::new() };
    let Some(Specifier::InlineBytes(bytes)) = certificate.certificate_chain.as_ref().and_then(|data| data.specifier.clone()) else {
        return Vec::new();
    };
    bytes
}

#[tokio::test]
async fn serves_certificates_and_their_rotation() {
    for mode in [Mode::Delta, Mode::Sotw] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sds.sock");
        let (publisher, source) = svid::channel();
        let sds = Sds::bind(&path, source).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (trigger, watch) = drain::channel();
        let tasks = Tasks::new("test");
        tasks.spawn("sds", sds.serve(watch.clone()));

        let channel = Connector::new().channel(&Target::Unix(path.clone()), None);
        let client = Client::new(Config::new(Node { id: "n".into(), ..Node::default() }, channel).mode(mode));
        client.handle().subscribe(type_url::SECRET, Interest::names([OWN_CERTIFICATE, OWN_ROOTS]));
        let (sender, mut received) = mpsc::unbounded_channel();
        tasks.spawn("client", client.run(Collect(sender), watch));

        let first = publisher.publish(svid());
        let secrets = received.recv().await.unwrap();
        assert_eq!(secrets.keys().collect::<Vec<_>>(), [OWN_ROOTS, OWN_CERTIFICATE]);
        assert_eq!(chain(&secrets[OWN_CERTIFICATE]), first.chain_pem().into_bytes());
        let second = publisher.publish(svid());
        let secrets = received.recv().await.unwrap();
        assert_eq!(chain(&secrets[OWN_CERTIFICATE]), second.chain_pem().into_bytes());
        drop(trigger);
        tasks.shutdown(Duration::from_secs(5)).await;
        assert!(!path.exists(), "the socket goes with its owner");
    }
}

#[tokio::test]
async fn writes_files_at_each_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (publisher, source) = svid::channel();
    let (_trigger, watch) = drain::channel();
    let tasks = Tasks::new("test");
    tasks.spawn("files", write_files(folder.path().to_owned(), source, watch));
    let file = folder.path().join("cert-chain.pem");
    for _ in 0..2 {
        let svid = publisher.publish(svid());
        let written = async {
            while std::fs::read_to_string(&file).unwrap_or_default() != svid.chain_pem() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), written).await.unwrap();
    }
}
