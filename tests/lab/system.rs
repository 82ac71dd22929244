//! Whose programs run: this machine's own, or those of a Debian 13 beside it.
//!
//! The other system lies in `.lab/trixie` (`tests/install.sh trixie`) and is entered by chroot. Network and
//! process ids are shared. What it needs of this machine is mounted in a mount namespace that belongs to
//! the one program and ends with it: nothing is left to unmount, and no removal of a folder can walk
//! through a mount.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::error::{LabError, Result};
use crate::process::{found, run_tool};
use crate::run::lab_folder;

/// A system whose programs the lab can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum System {
    /// This machine.
    #[default]
    Host,
    /// Debian 13, with MariaDB 11.8.
    Trixie,
}

impl System {
    /// The full path of a program, as it is inside.
    ///
    /// # Errors
    /// [`LabError::Missing`] when it is not installed, [`LabError::Refused`] when the system is not there.
    pub fn found(self, program: &Path) -> Result<PathBuf> {
        let Some(root) = self.root() else { return found(program) };
        if !root.is_dir() {
            let reason = "Debian 13 is not there: run tests/install.sh trixie";
            return Err(LabError::Refused(reason.into()));
        }
        let inside = ["usr/sbin", "usr/bin"].map(|folder| Path::new(folder).join(program));
        let inside = inside.into_iter().find(|path| root.join(path).is_file());
        inside
            .map(|path| Path::new("/").join(path))
            .ok_or_else(|| LabError::Missing { program: program.display().to_string() })
    }

    /// A command that becomes `program` there without another process. What is added to it are arguments of
    /// the program.
    ///
    /// # Errors
    /// As [`System::found`], and where the other system is asked for without root.
    pub(crate) fn command(self, program: &str) -> Result<Command> {
        let program = self.found(Path::new(program))?;
        let Some(root) = self.root() else { return Ok(Command::new(program)) };
        if !geteuid().is_root() {
            return Err(LabError::Refused("a program of Debian 13 takes root".into()));
        }
        let mut command = Command::new(found(Path::new("unshare"))?);
        command.args(["--mount", "--propagation", "private", "--", "sh", "-euc", ENTER, "enter"]);
        command.arg(root).arg(std::env::temp_dir()).arg(program);
        Ok(command)
    }

    /// What its mariadbd says of itself.
    ///
    /// # Errors
    /// When it is not installed.
    pub(crate) async fn server_version(self) -> Result<Vec<u8>> {
        let (server, version) = (self.found(Path::new("mariadbd"))?, OsStr::new("--version"));
        match self.root() {
            None => run_tool(&server.to_string_lossy(), &[version], b"").await,
            Some(root) => {
                let arguments = [root.as_os_str(), server.as_os_str(), version];
                run_tool("chroot", &arguments, b"").await
            }
        }
    }

    /// Where its files are, if they are not this machine's.
    fn root(self) -> Option<PathBuf> {
        match self {
            Self::Host => None,
            Self::Trixie => Some(lab_folder().join("trixie")),
        }
    }
}

/// Enters the system in folder $1, where the data of labs has the same path $2 as outside.
const ENTER: &str = "
    root=$1 data=$2
    shift 2
    mkdir -p \"$root$data\"
    mount --rbind /proc \"$root/proc\"
    mount --rbind /dev \"$root/dev\"
    mount --bind \"$data\" \"$root$data\"
    exec chroot \"$root\" \"$@\"
";
