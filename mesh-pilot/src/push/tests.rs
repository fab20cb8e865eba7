//! From a configuration to connected proxies, over a real stream.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mesh_runtime::{
    connect::{Connector, Target},
    drain::{self, DrainTrigger},
    grpc,
    listen::{Listener, Options},
    task::Tasks,
    xds::{
        Interest, Rejection, Sink, Update,
        client::{self, Client},
    },
};
use tokio::sync::mpsc;

use super::*;
use crate::{
    serve::{Admit, routes},
    testing::{node, received, settings, snapshot, split},
};

struct Proxy(mpsc::UnboundedSender<Update>);

impl Sink for Proxy {
    fn apply(&mut self, update: Update) -> Vec<Rejection> {
        let _ = self.0.send(update);
        Vec::new()
    }
}

struct Fixture {
    discovery: Discovery,
    status: Status,
    target: Target,
    tasks: Tasks,
    drain: drain::DrainWatch,
    _trigger: DrainTrigger,
}

impl Fixture {
    fn start() -> Self {
        let metrics = Arc::new(Metrics::new());
        let status = Status::new(metrics.clone());
        let discovery = Discovery::new(settings(), status.clone(), metrics, 2);
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), Options::default()).unwrap();
        let target = listener.address().to_string().parse().unwrap();
        let (trigger, drain) = drain::channel();
        let tasks = Tasks::new("test");
        let routes = routes(&discovery, &status, &settings(), Admit::Anyone, &tasks, &drain);
        tasks.spawn("ads", grpc::serve(listener, routes, grpc::Options::default(), drain.clone()));
        Self { discovery, status, target, tasks, drain, _trigger: trigger }
    }

    fn proxy(&self, name: &str) -> mpsc::UnboundedReceiver<Update> {
        let client = Client::new(client::Config::new(node("shop", name), Connector::new().channel(&self.target, None)));
        for url in [mesh_proto::type_url::CLUSTER, mesh_proto::type_url::LISTENER] {
            client.handle().subscribe(url, Interest::All);
        }
        client.handle().subscribe(mesh_proto::type_url::ROUTE, Interest::names(["http_proxy"]));
        let (sender, updates) = mpsc::unbounded_channel();
        self.tasks.spawn("proxy", client.run(Proxy(sender), self.drain.clone()));
        updates
    }

    async fn push(&self, v1: u32) {
        self.discovery.push(received(&split(v1))).await;
    }

    async fn until(&self, what: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let waiting = async {
            loop {
                let status = self.status.syncz();
                if what(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap_or_else(|_| panic!("{}", self.status.syncz()))
    }
}

async fn next(updates: &mut mpsc::UnboundedReceiver<Update>) -> Update {
    tokio::time::timeout(Duration::from_secs(20), updates.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_change_reaches_every_proxy_and_nothing_else_is_sent_again() {
    let fixture = Fixture::start();
    let (mut a, mut b) = (fixture.proxy("a"), fixture.proxy("b"));
    fixture.until(|status| status["proxies"].as_array().unwrap().len() == 2).await;
    // No World yet: silence, not emptiness.
    assert!(a.try_recv().is_err());
    fixture.push(80).await;
    for proxy in [&mut a, &mut b] {
        for _ in 0..3 {
            assert!(!next(proxy).await.upserts.is_empty());
        }
    }
    fixture.until(|status| status["proxies"].as_array().unwrap().iter().all(|proxy| proxy["types"]["rds"]["state"] == "SYNCED")).await;
    fixture.push(50).await;
    for proxy in [&mut a, &mut b] {
        let update = next(proxy).await;
        assert_eq!(&*update.type_url, mesh_proto::type_url::ROUTE);
        assert_eq!(update.upserts.len(), 1);
    }
    let status = fixture.until(|status| status["last_push"]["converged_ms"].is_u64()).await;
    assert_eq!(status["last_push"]["proxies"], 2);
    assert_eq!(status["last_push"]["revision"], snapshot(&split(50)).revision().as_str());
    assert!(status["proxies"][0]["converged_ms"].is_u64(), "{status}");
    assert!(a.try_recv().is_err() && b.try_recv().is_err());
}

#[tokio::test]
async fn an_unchanged_configuration_converges_at_once() {
    let fixture = Fixture::start();
    let mut a = fixture.proxy("a");
    fixture.push(80).await;
    for _ in 0..3 {
        next(&mut a).await;
    }
    fixture.push(80).await;
    fixture.until(|status| status["last_push"]["converged_ms"].is_u64()).await;
    assert!(a.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_push() {
    let metrics = Arc::new(Metrics::new());
    let discovery = Discovery::new(settings(), Status::new(metrics.clone()), metrics.clone(), 1);
    let (sender, receiver) = watch::channel(None);
    let tasks = Tasks::new("test");
    let debounce = Debounce { quiet: Duration::from_millis(100), patience: Duration::from_secs(1) };
    tasks.spawn("push", discovery.clone().run(receiver, debounce));
    let mut worlds = discovery.worlds();
    sender.send_replace(Some(received(&split(10))));
    worlds.wait_for(Option::is_some).await.unwrap();
    worlds.borrow_and_update();
    for weight in [20, 30, 40] {
        sender.send_replace(Some(received(&split(weight))));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    worlds.changed().await.unwrap();
    let revision = worlds.borrow().as_ref().unwrap().revision().clone();
    assert_eq!(revision, *snapshot(&split(40)).revision());
    assert!(metrics.encode().contains("pilot_push_triggers{type=\"config\"} 2"), "{}", metrics.encode());
}

#[tokio::test]
async fn what_is_kept_goes_with_the_last_proxy_that_needs_it() {
    let fixture = Fixture::start();
    fixture.push(80).await;
    let scopes: Vec<_> = (0..20).map(|n| crate::testing::scope("shop", &format!("a{n}"))).collect();
    for scope in &scopes {
        let (one, other) = (fixture.discovery.subscribe(scope).await, fixture.discovery.subscribe(scope).await);
        assert_eq!(fixture.discovery.kept(), 1);
        drop(one);
        assert!(other.snapshots().borrow().is_some());
        assert_eq!(fixture.discovery.kept(), 1);
    }
    assert_eq!(fixture.discovery.kept(), 0);
    // A real stream, too, without a change in between.
    let proxies = Tasks::new("proxies");
    for n in 0..3 {
        let client = Client::new(client::Config::new(node("shop", &format!("b{n}")), Connector::new().channel(&fixture.target, None)));
        client.handle().subscribe(mesh_proto::type_url::CLUSTER, Interest::All);
        let (sender, mut updates) = mpsc::unbounded_channel();
        proxies.spawn("proxy", client.run(Proxy(sender), fixture.drain.clone()));
        next(&mut updates).await;
    }
    assert_eq!(fixture.discovery.kept(), 3);
    drop(proxies);
    let discovery = fixture.discovery.clone();
    fixture.until(|_| discovery.kept() == 0).await;
}

#[tokio::test]
async fn a_removal_that_state_of_the_world_cannot_say_is_not_waited_for() {
    let fixture = Fixture::start();
    let config = client::Config::new(node("shop", "a"), Connector::new().channel(&fixture.target, None)).mode(client::Mode::Sotw);
    let client = Client::new(config);
    client.handle().subscribe(mesh_proto::type_url::ENDPOINT, Interest::names(["outbound|80||web.shop.svc.cluster.local"]));
    let (sender, mut updates) = mpsc::unbounded_channel();
    fixture.tasks.spawn("proxy", client.run(Proxy(sender), fixture.drain.clone()));
    fixture.push(80).await;
    assert_eq!(next(&mut updates).await.upserts.len(), 1);
    fixture.until(|status| status["proxies"][0]["types"]["eds"]["state"] == "SYNCED").await;
    let received = received(&split(80).replace("name: web,", "name: other,"));
    fixture.discovery.push(received).await;
    let status = fixture.until(|status| status["last_push"]["converged_ms"].is_u64()).await;
    assert!(status["proxies"][0]["converged_ms"].is_u64(), "{status}");
    assert!(updates.try_recv().is_err());
}

#[tokio::test]
async fn a_workload_that_moves_is_news_for_endpoints_only() {
    let fixture = Fixture::start();
    let at = |address: &str| {
        let entry = format!(
            "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w, namespace: shop}}\nspec: {{address: {address}, labels: {{app: web}}, serviceAccount: web}}\n"
        );
        received(&(split(80) + &entry))
    };
    let config = client::Config::new(node("shop", "a"), Connector::new().channel(&fixture.target, None));
    let client = Client::new(config);
    for url in [mesh_proto::type_url::CLUSTER, mesh_proto::type_url::ENDPOINT, mesh_proto::type_url::LISTENER] {
        client.handle().subscribe(url, Interest::All);
    }
    let (sender, mut updates) = mpsc::unbounded_channel();
    fixture.tasks.spawn("proxy", client.run(Proxy(sender), fixture.drain.clone()));
    fixture.discovery.push(at("10.0.0.1")).await;
    for _ in 0..3 {
        next(&mut updates).await;
    }
    fixture.until(|status| status["last_push"]["converged_ms"].is_u64()).await;
    fixture.discovery.push(at("10.0.0.2")).await;
    let update = next(&mut updates).await;
    assert_eq!((&*update.type_url, update.upserts.len()), (mesh_proto::type_url::ENDPOINT, 1));
    fixture.until(|status| status["last_push"]["converged_ms"].is_u64()).await;
    fixture.discovery.push(at("10.0.0.2")).await;
    assert!(updates.try_recv().is_err());
    assert_eq!(fixture.discovery.generations(), [("full", 1), ("endpoints", 1), ("avoided", 1)]);
}
