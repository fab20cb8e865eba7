//! The command line of `mesh-citadel`, for its own binary and for whoever starts a Citadel as a child.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use mesh_proto::id::{Namespace, TrustDomain};
use mesh_runtime::svid::Rotation;

use crate::authn::jwt::{AUDIENCE, Rules};
use crate::config::{Config, Tokens};
use crate::root::Location;

/// Signs SPIFFE certificates for the workloads of a mesh, over Istio's `CreateCertificate`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("root").required(true).args(["root_dir", "cacerts_dir"]))]
pub struct Arguments {
    /// Address to serve `CreateCertificate` on, over TLS
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:15012")]
    pub listen: SocketAddr,
    /// Address to serve /metrics and /ready on, in plaintext; none if left out (Istio's port is 15014)
    #[arg(long, value_name = "IP:PORT")]
    pub monitoring: Option<SocketAddr>,
    /// Trust domain of the certificates
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub trust_domain: TrustDomain,
    /// Namespace of the control plane
    #[arg(long, value_name = "NAMESPACE", default_value = "mesh-system")]
    pub namespace: Namespace,
    /// Folder of a self-signed root: made there once, with mode 0700, and kept
    #[arg(long, value_name = "DIR")]
    pub root_dir: Option<PathBuf>,
    /// Folder with Istio's plug-in certificates (ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem)
    #[arg(long, value_name = "DIR")]
    pub cacerts_dir: Option<PathBuf>,
    /// File with the JWK Set that service-account tokens are verified with; without it only certificates are accepted
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Accepted token issuer (repeatable); any if left out
    #[arg(long = "token-issuer", value_name = "ISS", requires = "jwks")]
    pub token_issuers: Vec<String>,
    /// Accepted token audience (repeatable)
    #[arg(long = "token-audience", value_name = "AUD", default_value = AUDIENCE)]
    pub token_audiences: Vec<String>,
    /// Lifetime of a certificate whose request names none
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub workload_cert_ttl: Duration,
    /// Longest lifetime that may be asked for
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
    pub max_workload_cert_ttl: Duration,
    /// Another DNS name of a control-plane identity, e.g. mesh-pilot=istiod.istio-system.svc (repeatable)
    #[arg(long = "dns-name", value_name = "ACCOUNT=NAME", value_parser = dns_name)]
    pub dns_names: Vec<(String, String)>,
    /// Part of its lifetime after which Citadel replaces its own certificate
    #[arg(long, value_name = "0.0-0.9", default_value_t = 0.5, value_parser = fraction)]
    pub rotation_fraction: f64,
}

/// A name was given to an identity that is not the control plane's.
#[derive(Debug, thiserror::Error)]
#[error("--dns-name {account}=…: no such control-plane account; there are {known}")]
pub struct UnknownAccount {
    account: String,
    known: String,
}

impl Arguments {
    /// The configuration that these arguments describe.
    ///
    /// # Errors
    /// A DNS name for an account that is not the control plane's.
    pub fn config(self) -> Result<Config, UnknownAccount> {
        let root = match (self.root_dir, self.cacerts_dir) {
            (_, Some(mounted)) => Location::Mounted(mounted),
            (local, None) => Location::Local(local.unwrap_or_default()),
        };
        let mut config = Config::new(&self.trust_domain, &self.namespace, self.listen, root);
        config.monitoring = self.monitoring;
        config.policy.default_ttl = self.workload_cert_ttl.min(self.max_workload_cert_ttl);
        config.policy.max_ttl = self.max_workload_cert_ttl;
        config.rotation = Rotation { fraction: self.rotation_fraction, ..Rotation::default() };
        let rules = Rules { audiences: self.token_audiences, issuers: self.token_issuers, ..Rules::default() };
        config.tokens = self.jwks.map(|jwks| Tokens { jwks, rules });
        for (account, name) in self.dns_names {
            let of = |id: &mesh_proto::id::SpiffeId| id.service_account().map(ToString::to_string);
            let known = || config.policy.dns_names.keys().filter_map(of).collect::<Vec<_>>().join(", ");
            let Some(id) = config.policy.dns_names.keys().find(|id| of(id).as_ref() == Some(&account)).cloned() else {
                return Err(UnknownAccount { known: known(), account });
            };
            config.policy.dns_names.entry(id).or_default().push(name);
        }
        Ok(config)
    }
}

/// `90s`, `30m`, `24h` or `7d`, as Istio's settings are written.
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a duration: write 90s, 30m, 24h or 7d");
    let split = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    match number.checked_mul(seconds) {
        Some(total) if total > 0 => Ok(Duration::from_secs(total)),
        _ => Err(expected()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=0.9).contains(&value) => Ok(value),
        _ => Err(format!("{text:?} is not a number from 0.0 to 0.9")),
    }
}

fn dns_name(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((account, name)) if mesh_runtime::tls::Peers::dns(name).is_ok() => Ok((account.to_owned(), name.to_owned())),
        _ => Err(format!("{text:?} is not ACCOUNT=NAME with a DNS name, e.g. mesh-pilot=istiod.istio-system.svc")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let cli = Cli::try_parse_from(std::iter::once(&"mesh-citadel").chain(arguments)).map_err(|error| error.to_string())?;
        cli.arguments.config().map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_become_a_configuration() {
        let config = parse(&[
            "--root-dir=/ca",
            "--jwks=/jwks",
            "--token-issuer=a",
            "--workload-cert-ttl=30m",
            "--dns-name=mesh-pilot=istiod.istio-system.svc",
        ])
        .unwrap();
        assert_eq!(config.root, Location::Local("/ca".into()));
        assert_eq!(config.policy.default_ttl, Duration::from_secs(1800));
        assert_eq!(config.policy.max_ttl, Duration::from_secs(90 * 24 * 3600));
        let rules = config.tokens.unwrap().rules;
        assert_eq!((rules.audiences, rules.issuers), (vec![AUDIENCE.to_owned()], vec!["a".to_owned()]));
        let names = &config.policy.dns_names["spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot"];
        assert_eq!(names.last().unwrap(), "istiod.istio-system.svc");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert!(parse(&[]).unwrap_err().contains("--root-dir"), "a root is needed");
        assert!(parse(&["--root-dir=a", "--cacerts-dir=b"]).is_err(), "and only one");
        assert!(parse(&["--root-dir=a", "--workload-cert-ttl=24"]).unwrap_err().contains("24h"));
        assert!(parse(&["--root-dir=a", "--workload-cert-ttl=0h"]).is_err());
        assert!(parse(&["--root-dir=a", "--rotation-fraction=1"]).is_err());
        assert!(parse(&["--root-dir=a", "--token-issuer=x"]).unwrap_err().contains("--jwks"));
        assert!(parse(&["--root-dir=a", "--dns-name=shop=x.y"]).unwrap_err().contains("mesh-pilot"));
        assert!(parse(&["--root-dir=a", "--dns-name=mesh-pilot=a b"]).is_err());
    }
}
