//! curl and openssl, and what they say.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

const HOST: &str = "host: shop.example.com";

/// One answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    /// The version of the advertisement that took part.
    pub(super) fn version(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        Some(body.pointer("/from/version")?.as_str()?.to_owned())
    }
}

/// `requests` GETs of `path`, one after the other, on as few connections as curl likes.
pub(super) fn get(shop: &str, path: &str, requests: usize, headers: &[&str]) -> Result<Vec<Answer>> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "120", "--write-out", "\n%{http_code}\n", "--header", HOST]);
    for header in headers {
        command.args(["--header", header]);
    }
    // curl's own globbing makes many requests of one URL.
    command.arg(format!("{shop}{}?n=[1-{requests}]", path.trim_start_matches('/')));
    let text = process::output(&mut command)?;
    parse(&text).with_context(|| format!("curl printed: {}", &text[..text.len().min(500)]))
}

/// What curl prints: a body of one line, then the status.
fn parse(text: &str) -> Result<Vec<Answer>> {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks(2)
        .map(|pair| match pair {
            [body, status] => Ok(Answer { status: status.parse()?, body: (*body).to_owned() }),
            _ => anyhow::bail!("an answer without its status"),
        })
        .collect()
}

/// Tells an app of the shop something over its own Unix socket.
pub(super) fn control(socket: &str, command: &str) -> Result<u64> {
    let text = process::output(Command::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "5",
        "--unix-socket",
        socket,
        "--request",
        "POST",
        &format!("http://app/control/{command}"),
    ]))?;
    let body: Value = serde_json::from_str(&text)?;
    body["served"].as_u64().context("an answer without `served`")
}

/// What a plaintext caller gets: curl's exit code and the status.
pub(super) fn plaintext(address: &str) -> Result<(Option<i32>, String)> {
    let output = process::capture(Command::new("curl").args([
        "--silent",
        "--max-time",
        "5",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        &format!("http://{address}/"),
    ]))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A TLS session without a client certificate: what is answered to a GET, and all that openssl prints. With `alpn`, it claims to speak that.
pub(super) fn without_certificate(address: &str, alpn: Option<&str>) -> Result<(String, String)> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", address, "-ign_eof", "-showcerts"])
        .args(alpn.iter().flat_map(|alpn| ["-alpn", alpn]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may have been refused before it is written.
        let _ = stdin.write_all(b"GET / HTTP/1.1\r\nhost: advertisement\r\nconnection: close\r\n\r\n");
    }
    let output = child.wait_with_output()?;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Serial number and subject alternative names of the first certificate in `printed`.
pub(super) fn certificate(printed: &str) -> Result<(String, String)> {
    let begin = printed.find("-----BEGIN CERTIFICATE-----").context("the server showed no certificate")?;
    let mut child = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-ext", "subjectAltName"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(&printed.as_bytes()[begin..])?;
    let text = String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned();
    let serial = text.lines().find_map(|line| line.strip_prefix("serial=")).context("no serial number")?.to_owned();
    Ok((serial, text))
}
