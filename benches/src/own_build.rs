//! Sees to it that the measured ido-proxy is the optimized one that was built with this program.
//!
//! The lab takes whichever ido-proxy was built last, which after `cargo test` is one that is not
//! optimized: right for stories, wrong for a stopwatch.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::{BenchError, Context, Result};

/// Starts this program again, telling the lab to take the ido-proxy beside it, unless it was told
/// already. Returns only where nothing is left to be told.
///
/// # Errors
/// When this program is not optimized, or there is no ido-proxy beside it.
pub(crate) fn insist() -> Result<()> {
    if cfg!(debug_assertions) {
        let why = "this bench is not optimized: build it with --release, or run make bench";
        return Err(BenchError::Refused(why.into()));
    }
    if std::env::var_os(NAMED_BY).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().context(|| "finding this program".into())?;
    let proxy = own.with_file_name("ido-proxy");
    if !proxy.is_file() {
        let path = proxy.display();
        let why = format!("there is no {path}: run cargo build --release -p ido-proxy");
        return Err(BenchError::Refused(why));
    }
    let error = Command::new(own).args(std::env::args_os().skip(1)).env(NAMED_BY, proxy).exec();
    Err(error).context(|| "starting this program again".into())
}

/// The lab's variable that names an ido-proxy.
const NAMED_BY: &str = "IDO_PROXY_BIN";
