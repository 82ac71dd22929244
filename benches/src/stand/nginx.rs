//! nginx as one sets it up before one MariaDB: its stream module, one worker, everything else as it
//! is by default, which includes `tcp_nodelay on`.
//!
//! No master process runs: a worker outlives a master that is killed, and would go on to serve the
//! next run. The work of the worker is the same.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lab::part::Part;
use lab::process::Program;
use lab::run::Run;

use crate::error::{Context, Result};

/// Starts it and waits for nothing.
pub(super) fn start(run: &Arc<Run>, listen: SocketAddr, to: SocketAddr) -> Result<Part> {
    let folder = run.data("nginx");
    fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(&folder, listen, to))
        .context(|| format!("writing {}", file.display()))?;
    let program = Program::new("nginx", "nginx").arg("-p").arg(&folder).arg("-c").arg(&file);
    // Before it has read its configuration it would log to the system's own file.
    let part = Part::new(run, program.args(["-e", "stderr"]));
    part.launch()?;
    Ok(part)
}

fn configuration(folder: &Path, listen: SocketAddr, to: SocketAddr) -> String {
    let module = Path::new(DEBIAN_MODULE);
    let load =
        if module.exists() { format!("load_module {DEBIAN_MODULE};\n") } else { String::new() };
    format!(
        "{load}\
         daemon off;\n\
         master_process off;\n\
         error_log stderr;\n\
         pid {pid};\n\
         events {{\n\
         \tworker_connections 8192;\n\
         }}\n\
         stream {{\n\
         \tserver {{\n\
         \t\tlisten {listen};\n\
         \t\tproxy_pass {to};\n\
         \t\tproxy_timeout 1h;\n\
         \t}}\n\
         }}\n",
        pid = folder.join("nginx.pid").display(),
    )
}

/// Where Debian keeps the module; elsewhere it is built in.
const DEBIAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
