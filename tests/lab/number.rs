//! Number of a lab, and the locks by which it is held: a lab that is gone holds none.

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// A lab's number, 20..=250: the third part of all its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(u8);

impl Number {
    /// All numbers there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (20..=250).map(Self)
    }

    /// Host `host` of this lab: 127.0.X.`host`. Nodes and Consul servers are 1..=5, proxies 101 and up.
    pub fn address(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.0, host)
    }

    /// Where data of this lab lies: readable by the servers' own users, which a home need not be.
    pub fn data(self) -> PathBuf {
        std::env::temp_dir().join(format!("ido-proxy-lab-{self}"))
    }

    /// Takes the number, or `None` while another lab holds it.
    pub(crate) fn take(self) -> Option<Flock<File>> {
        lock(&self.lock_file())
    }

    /// Whether a lab ever took it on this machine.
    pub(crate) fn was_used(self) -> bool {
        self.lock_file().exists()
    }

    /// The lock file, which stays when the lab ends: removing it lets two holders in.
    fn lock_file(self) -> PathBuf {
        std::env::temp_dir().join(format!("ido-proxy-lab-{self}.lock"))
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The folder `.lab` at the root of the repository: logs, Consul, the prepared database.
pub fn lab_folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).join(".lab")
}

/// Takes the lock at `path`, or `None` while it is held. Held until dropped, or the holder's death.
pub(crate) fn lock(path: &Path) -> Option<Flock<File>> {
    take(path, FlockArg::LockExclusiveNonblock)
}

/// Takes a part in the lock at `path`, or `None` while somebody has it alone.
pub(crate) fn share(path: &Path) -> Option<Flock<File>> {
    take(path, FlockArg::LockSharedNonblock)
}

fn take(path: &Path, how: FlockArg) -> Option<Flock<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()?;
    Flock::lock(file, how).ok()
}
