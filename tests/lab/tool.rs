//! Short-lived programs of the system, run to their end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::{Context, LabError, Result};

/// Runs a short-lived tool to its end and returns what it printed.
///
/// # Errors
/// The tool is missing, or fails: with what it wrote to standard error.
pub async fn run_tool(program: &str, arguments: &[&OsStr], input: &[u8]) -> Result<Vec<u8>> {
    use tokio::io::AsyncWriteExt;

    let mut child = tokio::process::Command::new(found(Path::new(program))?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(|| format!("starting {program}"))?;
    let stdin = child.stdin.take();
    // Side by side: a tool that prints while it reads would wait for us, and we for it.
    let (_, output) = tokio::join!(
        async {
            if let Some(mut stdin) = stdin {
                // A tool that reads nothing may be gone by now; its own verdict follows.
                let _ = stdin.write_all(input).await;
            }
        },
        child.wait_with_output()
    );
    let output = output.context(|| format!("running {program}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Failed {
        what: program.to_owned(),
        reason: format!("{}: {reason}", output.status),
        log: crate::error::LogTail::default(),
    })
}

/// The program's full path, or [`LabError::Missing`]. `/usr/sbin` counts even when `PATH` leaves it out.
pub fn found(program: &Path) -> Result<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&search).chain(["/usr/sbin".into(), "/sbin".into()]);
    // Joining an absolute path gives that path, so both kinds take this way.
    let candidates = folders.map(|folder| folder.join(program));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| LabError::Missing { program: program.display().to_string() })
}
