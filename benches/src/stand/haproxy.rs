//! HAProxy as one sets it up before one MariaDB: mode tcp, one thread, everything else as it is by
//! default. It sets TCP_NODELAY by itself and does not splice unless told to.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use lab::part::Part;
use lab::process::Program;
use lab::run::Run;

use crate::error::{Context, Result};

/// Starts it and waits for nothing.
pub(super) fn start(run: &Arc<Run>, listen: SocketAddr, to: SocketAddr) -> Result<Part> {
    let folder = run.data("haproxy");
    fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    let file = folder.join("haproxy.cfg");
    fs::write(&file, configuration(listen, to))
        .context(|| format!("writing {}", file.display()))?;
    let part = Part::new(run, Program::new("haproxy", "haproxy").args(["-db", "-f"]).arg(&file));
    part.launch()?;
    Ok(part)
}

fn configuration(listen: SocketAddr, to: SocketAddr) -> String {
    format!(
        "global\n\
         \tnbthread 1\n\
         \tmaxconn 4000\n\
         defaults\n\
         \tmode tcp\n\
         \ttimeout connect 5s\n\
         \ttimeout client 1h\n\
         \ttimeout server 1h\n\
         listen mariadb\n\
         \tbind {listen}\n\
         \tserver node1 {to}\n"
    )
}
