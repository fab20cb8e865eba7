//! Telling an app of the shop something over its own socket, past the mesh: for checks that break a replica.

use std::{fmt::Display, path::Path};

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Sends `command` (`break`, `mend` or `served`) and gives the requests that the app has served.
///
/// # Errors
/// In words, when there is no answer.
pub async fn control(socket: &Path, command: &str) -> Result<u64, String> {
    let fail = |error: &dyn Display| format!("{} of {}: {error}", command, socket.display());
    let stream = UnixStream::connect(socket).await.map_err(|e| fail(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| fail(&e))?;
    let request = http::Request::post(format!("/control/{command}"))
        .header("host", "app")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|e| fail(&e))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| fail(&e))?;
        let body = Limited::new(response.into_body(), 4096).collect().await.map_err(|e| fail(&e))?.to_bytes();
        drop(sender);
        let body: serde_json::Value = serde_json::from_slice(&body).map_err(|e| fail(&e))?;
        body["served"].as_u64().ok_or_else(|| fail(&"an answer without `served`"))
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}
