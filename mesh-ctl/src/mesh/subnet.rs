//! A loopback /24 of its own for each mesh: `127.a.b.0/24`, claimed, so that no two meshes on one machine collide.
//!
//! A claim is a lock on a file (released by the kernel whatever happens to the process) and a probe of the well-known
//! ports without `SO_REUSEPORT`, so that a port somebody else holds is noticed before anything starts.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

/// Addresses of the components within the subnet.
const GALLEY: u8 = 2;
const PILOT: u8 = 3;
const CITADEL: u8 = 4;
const FIRST_GATEWAY: u8 = 5;
const LAST_GATEWAY: u8 = 9;
const FIRST_WORKLOAD: u8 = 10;
const LAST_WORKLOAD: u8 = 250;

/// Why no subnet could be claimed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of lock files cannot be used.
    #[error("cannot keep lock files in {path}: {source}; set XDG_RUNTIME_DIR or TMPDIR to a folder that you may write to")]
    Locks {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Everything is taken.
    #[error("every loopback subnet tried is taken, the last because of {last}; stop another mesh first (lock files: {path})")]
    Taken {
        /// What was wrong with the last.
        last: String,
        /// The folder.
        path: PathBuf,
    },
    /// More workloads than addresses.
    #[error("a local mesh holds at most {max} {what}")]
    Full {
        /// Bound.
        max: u8,
        /// Of what.
        what: &'static str,
    },
}

/// A claimed `127.a.b.0/24`; the claim ends when it is dropped.
#[derive(Debug)]
pub struct Subnet {
    a: u8,
    b: u8,
    lock: PathBuf,
    _held: File,
}

impl Subnet {
    /// Claims the first free one, looking at the well-known `ports` of every component address.
    ///
    /// # Errors
    /// When none is free, with what was in the way.
    pub fn claim(ports: &[u16]) -> Result<Self, Error> {
        let locks = lock_folder()?;
        let mut last = String::from("nothing");
        // 127.77.x first: away from 127.0.0.x, where other software lives.
        for (a, b) in (77..=79).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            match try_claim(&locks, a, b, ports) {
                Ok(Some(subnet)) => return Ok(subnet),
                Ok(None) => last = format!("another mesh on 127.{a}.{b}.0/24"),
                Err(taken) => last = taken,
            }
        }
        Err(Error::Taken { last, path: locks })
    }

    /// Galley.
    pub fn galley(&self) -> Ipv4Addr {
        self.address(GALLEY)
    }

    /// Pilot.
    pub fn pilot(&self) -> Ipv4Addr {
        self.address(PILOT)
    }

    /// Citadel.
    pub fn citadel(&self) -> Ipv4Addr {
        self.address(CITADEL)
    }

    /// Gateway `n`, from 0.
    ///
    /// # Errors
    /// When there are no more.
    pub fn gateway(&self, n: usize) -> Result<Ipv4Addr, Error> {
        self.nth(FIRST_GATEWAY, LAST_GATEWAY, n, "gateways")
    }

    /// Workload `n`, from 0.
    ///
    /// # Errors
    /// When there are no more.
    pub fn workload(&self, n: usize) -> Result<Ipv4Addr, Error> {
        self.nth(FIRST_WORKLOAD, LAST_WORKLOAD, n, "workloads")
    }

    fn nth(&self, first: u8, last: u8, n: usize, what: &'static str) -> Result<Ipv4Addr, Error> {
        u8::try_from(n)
            .ok()
            .and_then(|n| first.checked_add(n))
            .filter(|d| *d <= last)
            .map(|d| self.address(d))
            .ok_or(Error::Full { max: last - first + 1, what })
    }

    fn address(&self, d: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, d)
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "127.{}.{}.0/24", self.a, self.b)
    }
}

impl Drop for Subnet {
    fn drop(&mut self) {
        // Removed while still locked: who opens the same path afterwards makes and locks a new file.
        if let Err(error) = fs::remove_file(&self.lock) {
            tracing::debug!(path = %self.lock.display(), %error, "lock file stays behind");
        }
        // Only if it is empty: other meshes keep theirs.
        if let Some(folder) = self.lock.parent() {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn lock_folder() -> Result<PathBuf, Error> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = base.join(format!("mesh-{}", rustix::process::getuid().as_raw()));
    let made = fs::create_dir_all(&path).and_then(|()| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
    });
    match made {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::Locks { path, source }),
    }
}

/// `Ok(None)`: another mesh holds it. `Err`: a port is taken by somebody else.
fn try_claim(locks: &Path, a: u8, b: u8, ports: &[u16]) -> Result<Option<Subnet>, String> {
    let lock = locks.join(format!("127.{a}.{b}.lock"));
    let open = || File::options().create(true).truncate(false).write(true).open(&lock);
    // The last mesh to end takes the folder away with it: then it is made again.
    let held = open().or_else(|_| fs::create_dir_all(locks).and_then(|()| open())).map_err(|e| format!("{}: {e}", lock.display()))?;
    if rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    // Somebody may have removed the file between our open and our lock: then our lock guards nothing.
    use std::os::unix::fs::MetadataExt;
    let same = match (held.metadata(), fs::metadata(&lock)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino(),
        _ => false,
    };
    if !same {
        return Ok(None);
    }
    let subnet = Subnet { a, b, lock, _held: held };
    for d in GALLEY..FIRST_WORKLOAD + 8 {
        for port in ports {
            let address = SocketAddr::from((subnet.address(d), *port));
            // The standard library sets SO_REUSEADDR, never SO_REUSEPORT: a listening socket is in the way either way.
            if let Err(error) = TcpListener::bind(address) {
                return Err(format!("{address} ({error})"));
            }
        }
    }
    Ok(Some(subnet))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_meshes_get_two_subnets() {
        let first = Subnet::claim(&[]).unwrap();
        let second = Subnet::claim(&[]).unwrap();
        assert_ne!(first.to_string(), second.to_string());
        assert_ne!(first.pilot(), first.galley());
    }

    #[test]
    fn a_taken_port_is_noticed() {
        let probe = Subnet::claim(&[]).unwrap();
        let holder = TcpListener::bind((probe.pilot(), 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let (a, b, locks) = (probe.a, probe.b, probe.lock.parent().unwrap().to_owned());
        drop(probe);
        let taken = try_claim(&locks, a, b, &[port]).unwrap_err();
        assert!(taken.contains(&port.to_string()), "{taken}");
    }

    #[test]
    fn addresses_end() {
        let subnet = Subnet::claim(&[]).unwrap();
        assert!(subnet.workload(240).is_ok());
        assert!(subnet.workload(241).is_err());
        assert!(subnet.gateway(5).is_err());
    }
}
