//! One run of the lab: its number, its addresses, and where its files are.
//!
//! Several labs run side by side: each takes a number X that nobody else holds and lives on
//! 127.0.X.0/24. A lock file per number says who holds it; the kernel lets go of it when the holder dies.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::fcntl::Flock;

use crate::error::{Context, LabError, Result};
use crate::leftovers;
use crate::number::{Number, lab_folder};

/// A run of the lab. Dropping it removes its data; its logs stay.
#[derive(Debug)]
pub struct Run {
    number: Number,
    logs: PathBuf,
    _lock: Flock<File>,
}

impl Run {
    /// Takes a free number, clears away what a crashed lab of that number left, and makes the folders.
    ///
    /// # Errors
    /// When no number is free or the folders cannot be made.
    pub fn begin() -> Result<Self> {
        let (number, lock) = Number::all()
            .filter_map(|number| Some((number, number.take()?)))
            .find(|(number, _)| {
                leftovers::sweep(*number);
                is_free(*number)
            })
            .ok_or_else(|| LabError::Refused("all lab numbers, 20 to 250, are taken".into()))?;

        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let logs = lab_folder().join(format!("run-{seconds}-{number}"));
        fs::create_dir_all(&logs).context(|| format!("making {}", logs.display()))?;
        leftovers::forget_old_logs(&lab_folder());

        let data = number.data();
        fs::create_dir(&data).context(|| format!("making {}", data.display()))?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755))
            .context(|| format!("opening {} to the servers", data.display()))?;
        Ok(Self { number, logs, _lock: lock })
    }

    /// The number it holds.
    pub fn number(&self) -> Number {
        self.number
    }

    /// `port` at host `host` of this lab.
    pub fn socket(&self, host: u8, port: u16) -> SocketAddr {
        (self.number.address(host), port).into()
    }

    /// The folder `name` in this run's data. Not made yet.
    pub fn data(&self, name: &str) -> PathBuf {
        self.number.data().join(name)
    }

    /// The folder with one log a part, kept after the end.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The log of the part `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Every part is dropped by now; what is left are children that left their process group.
        leftovers::sweep(self.number);
    }
}

/// Whether no stranger, who takes no locks, listens at the addresses of `number`.
fn is_free(number: Number) -> bool {
    (1..=5).all(|host| TcpListener::bind((number.address(host), 3306)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labs on the same addresses would break each other's stories.
    #[test]
    fn a_number_is_held_by_one_run_at_a_time() {
        let one = Run::begin().expect("a number is free");
        let two = Run::begin().expect("another number is free");
        assert_ne!(one.number(), two.number());
        assert!(one.number().take().is_none());
        assert_ne!(one.socket(1, 3306), two.socket(1, 3306));
    }

    /// Data directories are large: a lab that leaves them fills the disk.
    #[test]
    fn the_end_removes_data_and_keeps_logs() {
        let run = Run::begin().expect("a number is free");
        let (data, logs) = (run.number().data(), run.logs().to_owned());
        fs::write(run.log("part"), "it said so").expect("logs can be written");
        assert!(data.is_dir());
        drop(run);
        assert!(!data.exists());
        assert_eq!(fs::read_to_string(logs.join("part.log")).expect("it stays"), "it said so");
    }
}
