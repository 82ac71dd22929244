//! Programs of this machine, and of a Debian 13 beside it.
//!
//! Debian 13 lies in `.lab/trixie` (`tests/install.sh trixie`) and is entered by chroot. Network and process
//! ids are shared. Each program has a mount namespace of its own, which ends with it. Nothing is left to
//! unmount, and no removal of a folder can walk through a mount.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use crate::error::{LabError, Result};
use crate::number::lab_folder;
use crate::tool::{found, run_tool};

/// A system whose programs the lab can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum System {
    /// The machine that the lab runs on.
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

    /// A command that becomes `program` there without another process. Arguments added to it are the
    /// program's.
    ///
    /// # Errors
    /// Those of [`System::found`]; or the other system is asked for without root.
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

    /// Version of its mariadbd.
    ///
    /// # Errors
    /// The server is not installed.
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

    /// Folder of its files, if it is not this machine.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::process::Program;
    use crate::run::Run;

    /// A mount that outlives its server lets the next `rm -rf` of a folder empty the machine's own.
    #[tokio::test]
    async fn another_system_sees_the_data_and_leaves_no_mount() {
        if !geteuid().is_root() || System::Trixie.found(Path::new("sh")).is_err() {
            return;
        }
        let run = Arc::new(Run::begin().expect("a number is free"));
        let data = run.data("seen");
        std::fs::write(&data, "13").expect("data can be written");
        let script = format!("cat {} /etc/debian_version && test -c /dev/null", data.display());
        let program = Program::new("debian13", "sh").of(System::Trixie).args(["-c", &script]);
        let process = program.spawn(&run).expect("it starts");
        let ended = process.exit(Duration::from_secs(20)).await.expect("it ends");
        let said = std::fs::read_to_string(process.log()).expect("it has a log");
        assert!(ended.success() && said.starts_with("1313."), "{ended}: {said}");

        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("Linux has it");
        let root = System::Trixie.root().expect("it has one").display().to_string();
        assert!(!mounts.contains(&root), "{mounts}");
    }
}
