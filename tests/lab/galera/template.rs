//! The data directory all nodes start from: made once, kept in `.lab`, copied for each node.
//!
//! It holds root without a password, the database `icinga` with the IDO schema, and the state of a
//! cluster that was shut down in order.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Profile;
use super::server::{SERVER_USER, cluster_arguments, server};
use crate::error::{Context, LabError, Result};
use crate::number::{lab_folder, lock, share};
use crate::part::Part;
use crate::process::Program;
use crate::run::Run;
use crate::sql;
use crate::tool::run_tool;
use crate::wait::{Look, wait_until};

/// The database of Icinga's IDO.
pub const ICINGA_DATABASE: &str = "icinga";
/// User who writes it.
pub const ICINGA_USER: &str = "icinga";
/// The password, no secret.
pub const ICINGA_PASSWORD: &str = "icinga";

/// Copies the prepared directory for servers of this kind to each of these folders. It is made first if this
/// machine has none that fits.
pub(crate) async fn copy(run: &Arc<Run>, profile: Profile, folders: &[PathBuf]) -> Result<()> {
    let key = key(profile).await?;
    let ready = lab_folder().join(format!("template-{profile}-{key:016x}"));
    let guard = lab_folder().join(format!("template-{profile}.lock"));
    loop {
        // Another build of the lab, with another recipe, removes nothing that is being copied.
        let shared = turn(|| share(&guard)).await?;
        if ready.exists() {
            for folder in folders {
                let (from, to) = (ready.as_os_str(), folder.as_os_str());
                run_tool("cp", &["-a".as_ref(), "--reflink=auto".as_ref(), from, to], b"").await?;
            }
            return Ok(());
        }
        drop(shared);
        // Labs that start side by side wait here for the one that makes it.
        let _alone = turn(|| lock(&guard)).await?;
        if !ready.exists() {
            remove_outdated(profile);
            make(run, profile, &ready).await?;
        }
    }
}

async fn turn<T>(take: impl Fn() -> Option<T>) -> Result<T> {
    wait_until("the turn for the prepared database", MAKE, None, async || match take() {
        Some(lock) => Look::Done(lock),
        None => Look::NotYet("another lab has it".into()),
    })
    .await
}

async fn make(run: &Arc<Run>, profile: Profile, ready: &Path) -> Result<()> {
    let folder = run.data("template");
    install(run, profile, &folder).await?;
    fill(run, profile, &folder).await?;

    let _ = fs::remove_file(folder.join("galera.cache"));
    let (from, half) = (folder.as_os_str(), lab_folder().join(format!("template-{profile}-half")));
    let _ = fs::remove_dir_all(&half);
    run_tool("cp", &["-a".as_ref(), from, half.as_os_str()], b"").await?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&half, ready).context(|| format!("making {}", ready.display()))
}

/// Makes the server's own tables.
async fn install(run: &Arc<Run>, profile: Profile, folder: &Path) -> Result<()> {
    let install = Program::new("mariadb-install-db", "mariadb-install-db")
        .of(profile.system())
        .arg("--no-defaults")
        .arg("--auth-root-authentication-method=normal")
        .arg("--skip-test-db")
        // Another system need not know this machine's name.
        .arg("--force")
        .arg(format!("--datadir={}", folder.display()));
    let root = nix::unistd::geteuid().is_root();
    let install = if root { install.arg(format!("--user={SERVER_USER}")) } else { install };
    let install = install.spawn(run)?;
    let ended = install.exit(MAKE).await?;
    if !ended.success() {
        let log = crate::error::LogTail::of(install.log());
        let reason = ended.to_string();
        return Err(LabError::Failed { what: "mariadb-install-db".into(), reason, log });
    }
    Ok(())
}

/// Lets it be a cluster of one for as long as it takes to make the accounts and Icinga's tables.
async fn fill(run: &Arc<Run>, profile: Profile, folder: &Path) -> Result<()> {
    let server = server("template", folder, profile)
        .args(cluster_arguments(run, 1, 1, &[]))
        .args(profile.node_arguments(1));
    let server = Part::new(run, server);
    server.launch_with(&["--wsrep-new-cluster"])?;
    let root = sql::root(run.socket(1, 3306));
    let mut conn = wait_until("the first start", MAKE, Some(&server.log()), async || {
        match sql::connect(root.clone()).await {
            Ok(conn) => Look::Done(conn),
            Err(error) => server.look(error),
        }
    })
    .await?;
    let schema = fs::read_to_string(SCHEMA).context(|| format!("reading {SCHEMA}"))?;
    let accounts = format!(
        "CREATE USER root@'%'; GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
         CREATE DATABASE {ICINGA_DATABASE};
         CREATE USER {ICINGA_USER}@'%' IDENTIFIED BY '{ICINGA_PASSWORD}';
         GRANT ALL ON {ICINGA_DATABASE}.* TO {ICINGA_USER}@'%';
         USE {ICINGA_DATABASE}"
    );
    sql::script(&mut conn, "accounts", &accounts, MAKE).await?;
    sql::script(&mut conn, "Icinga's schema", &schema, MAKE).await?;
    let _ = conn.disconnect().await;
    server.term().await
}

/// Changes with whatever the directory depends on: the server, its settings, the schema, and this recipe.
async fn key(profile: Profile) -> Result<u64> {
    let version = profile.system().server_version().await?;
    let schema =
        fs::read(SCHEMA).map_err(|_| LabError::Missing { program: "icinga2-ido-mysql".into() })?;
    let mut hasher = DefaultHasher::new();
    let recipe = [include_str!("template.rs"), include_str!("node.rs"), include_str!("profile.rs")];
    (version, schema, recipe).hash(&mut hasher);
    Ok(hasher.finish())
}

fn remove_outdated(profile: Profile) {
    let outdated = format!("template-{profile}-");
    for entry in fs::read_dir(lab_folder()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&outdated) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

const SCHEMA: &str = "/usr/share/icinga2-ido-mysql/schema/mysql.sql";

/// Generous for a slow disk; about 8 s otherwise.
const MAKE: Duration = Duration::from_secs(120);
