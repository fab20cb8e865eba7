//! Checks of trust: who is let in, who is denied, and that certificates rotate.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::StatusCode;
use mesh_runtime::task::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Found, Subject};
use crate::{
    mesh::Mesh,
    stranger::{self, Seen},
};

/// The workload whose certificate is watched and who is called by strangers.
const WATCHED: &str = "advertisement-v1";
const PORT: u16 = 8080;
const LOOK_EVERY: Duration = Duration::from_millis(400);
const ROTATIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(40);

/// Plaintext and TLS without a mesh certificate are both refused.
pub(super) async fn strangers(subject: &Subject) -> Found {
    let address = inbound(&subject.mesh)?;
    // The connection must come about, or nobody was asked at all.
    let plain = timeout(Duration::from_secs(5), plaintext(address)).await.map_err(|_| "plaintext: neither answered nor closed")?;
    match plain {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Err(format!("nobody listens on {address}")),
        Ok(answer) if !answer.is_empty() => return Err(format!("plaintext was answered: {}", answer.lines().next().unwrap_or_default())),
        Ok(_) | Err(_) => {}
    }
    let seen = stranger::call(address, "GET / HTTP/1.1\r\nhost: advertisement\r\nconnection: close\r\n\r\n").await;
    match seen {
        Seen { certificate: None, .. } => Err(format!("TLS: the sidecar at {address} showed no certificate: {:?}", seen.refused)),
        Seen { answer: Some(answer), .. } => {
            Err(format!("TLS without a certificate was answered: {}", answer.lines().next().unwrap_or_default()))
        }
        Seen { refused, .. } => {
            let how = refused.unwrap_or_else(|| "closed".into());
            Ok(format!("plaintext: closed; TLS without a client certificate: {how}"))
        }
    }
}

/// frontend may not ask the inventory: 403, by the AuthorizationPolicy.
pub(super) async fn denied(subject: &Subject) -> Found {
    let mut caller = subject.caller()?;
    let answer = caller.get("/direct", &[]).await.map_err(|error| error.to_string())?;
    if answer.status == StatusCode::FORBIDDEN && answer.text.contains("RBAC: access denied") {
        Ok("frontend → inventory: 403 RBAC: access denied".into())
    } else {
        Err(format!("frontend → inventory: {} {}", answer.status, answer.text))
    }
}

/// Certificates change under load; that no request failed is the `requests` check.
pub(super) async fn rotation(serials: &SerialWatch) -> Found {
    let begun = Instant::now();
    loop {
        let rotations = serials.seen().saturating_sub(1);
        if rotations >= ROTATIONS {
            return Ok(format!("{WATCHED} showed {} certificates, one after the other, under load", rotations + 1));
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{rotations} rotations seen, wanted {ROTATIONS}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks at a sidecar's certificate again and again, as anybody on the network could.
pub(super) struct SerialWatch {
    serials: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    tasks: Tasks,
}

impl SerialWatch {
    pub(super) fn start(mesh: &Mesh) -> Self {
        let serials = Arc::<Mutex<BTreeSet<Vec<u8>>>>::default();
        let tasks = Tasks::new("certificates");
        if let Ok(address) = inbound(mesh) {
            let serials = serials.clone();
            tasks.spawn("look", look(address, serials));
        }
        Self { serials, tasks }
    }

    fn seen(&self) -> usize {
        self.serials.lock().map_or(0, |serials| serials.len())
    }

    pub(super) async fn stop(&self) {
        self.tasks.shutdown(Duration::ZERO).await;
    }
}

async fn look(address: SocketAddr, serials: Arc<Mutex<BTreeSet<Vec<u8>>>>) {
    loop {
        if let Seen { certificate: Some(certificate), .. } = stranger::look(address).await
            && let Ok(mut serials) = serials.lock()
        {
            serials.insert(certificate);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn inbound(mesh: &Mesh) -> Result<SocketAddr, String> {
    let place = mesh.place(WATCHED).ok_or_else(|| format!("there is no {WATCHED}"))?;
    Ok(SocketAddr::from((place.address, PORT)))
}

async fn plaintext(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: advertisement\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
