//! Server of a node as a program: its user, its arguments, its files.

use std::path::Path;

use super::Profile;
use crate::process::Program;
use crate::run::Run;

/// User who runs the servers, where the lab is root.
pub(crate) const SERVER_USER: &str = "mysql";

/// mariadbd as every node and the template run it.
pub(crate) fn server(name: impl Into<String>, folder: &Path, profile: Profile) -> Program {
    // Running as root would make the state transfer fail: its rsync daemon drops to a user that cannot read the data.
    Program::new(name, "mariadbd")
        .of(profile.system())
        .user(SERVER_USER)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.display()))
        .arg(format!("--socket={}", folder.join(SOCKET).display()))
        .arg(format!("--pid-file={}", folder.join("mysqld.pid").display()))
        .arg(format!("--general-log-file={GENERAL_LOG}"))
        .args(SERVER_ARGUMENTS)
        .args(profile.arguments())
}

/// Arguments that make a server node `index` of a cluster of `nodes`.
pub(super) fn cluster_arguments(
    run: &Run,
    index: u8,
    nodes: u8,
    options: &[String],
) -> Vec<String> {
    let options: String = options.iter().map(|option| format!(";{option}")).collect();
    let address = run.number().address(index);
    let members: Vec<_> = (1..=nodes).map(|node| run.number().address(node).to_string()).collect();
    vec![
        format!("--bind-address={address}"),
        format!("--wsrep-node-name=node{index}"),
        format!("--wsrep-node-address={address}"),
        format!("--wsrep-node-incoming-address={address}:3306"),
        format!("--wsrep-cluster-name=lab{}", run.number()),
        format!("--wsrep-cluster-address=gcomm://{}", members.join(",")),
        format!("--wsrep-sst-receive-address={address}:4444"),
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://{address}:4567;\
             ist.recv_addr={address}:4568;gcache.size=128M;pc.recovery=false{options}"
        ),
    ]
}

const SERVER_ARGUMENTS: [&str; 14] = [
    "--port=3306",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--log-warnings=1",
    "--max-connections=1000",
    "--innodb-log-file-size=48M",
    // A committed transaction survives a killed process; only a dead machine would lose it, and then
    // another node has it. The setting Galera's documentation recommends.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-autoinc-lock-mode=2",
    "--binlog-format=ROW",
    "--log-output=FILE",
    "--local-infile=ON",
    "--wsrep-on=ON",
    "--wsrep-provider=/usr/lib/galera/libgalera_smm.so",
    "--wsrep-sst-method=rsync",
];

/// The name of a server's general log in its data directory.
pub(super) const GENERAL_LOG: &str = "general.log";

/// The name of a server's Unix socket in its data directory.
pub(crate) const SOCKET: &str = "mysqld.sock";
