//! Broken networks: packets between addresses of the lab that never arrive.
//!
//! A rule of the kernel's packet filter (`nft`) on the loopback interface drops them, in a table that
//! belongs to this lab alone. Nobody is told: no reset, no refusal, as with a pulled cable.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::geteuid;

use crate::error::{LabError, Result};
use crate::firewall::{remove_rules, table};
use crate::run::Run;
use crate::tool::run_tool;

/// The broken connections of one lab. Dropping it mends them all.
#[derive(Debug)]
pub struct Faults {
    run: Arc<Run>,
    used: AtomicBool,
}

impl Faults {
    /// Nothing is broken yet.
    pub fn new(run: &Arc<Run>) -> Self {
        Self { run: Arc::clone(run), used: AtomicBool::new(false) }
    }

    /// No packet passes between the addresses `one` and `other`, either way.
    ///
    /// Galera's nodes speak to each other from their own addresses, so this parts two nodes. Clients on
    /// this machine speak from 127.0.0.1 and are not concerned.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn partition(&self, one: IpAddr, other: IpAddr) -> Result<()> {
        self.drop_packets(&[
            format!("ip saddr {one} ip daddr {other}"),
            format!("ip saddr {other} ip daddr {one}"),
        ])
        .await
    }

    /// No packet passes to or from `service`, whoever asks: its clients hear nothing, its cluster does.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn silence(&self, service: SocketAddr) -> Result<()> {
        let (ip, port) = (service.ip(), service.port());
        self.drop_packets(&[
            format!("ip daddr {ip} tcp dport {port}"),
            format!("ip saddr {ip} tcp sport {port}"),
        ])
        .await
    }

    /// No packet of the program that runs in `group` reaches `service`; everybody else's do: its way there is
    /// broken, and nothing else.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn bar(&self, group: u32, service: SocketAddr) -> Result<()> {
        let (ip, port) = (service.ip(), service.port());
        let rule = format!("meta skgid {group} ip daddr {ip} tcp dport {port} drop");
        self.rules(AWAY, &[rule]).await
    }

    /// Whatever the program in `group` says to `service` is answered by a reset; everybody else is heard: a firewall that
    /// was told to refuse.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn refuse(&self, group: u32, service: SocketAddr) -> Result<()> {
        let (ip, port) = (service.ip(), service.port());
        let rule =
            format!("meta skgid {group} ip daddr {ip} tcp dport {port} reject with tcp reset");
        self.rules(AWAY, &[rule]).await
    }

    /// Leads the connections that the program in `group` opens to `service` from now on to `relay`, unnoticed.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn lead(&self, group: u32, service: SocketAddr, relay: SocketAddr) -> Result<()> {
        let (ip, port) = (service.ip(), service.port());
        let rule = format!("meta skgid {group} ip daddr {ip} tcp dport {port} dnat to {relay}");
        self.rules(LED, &[rule]).await
    }

    /// Loses so many percent of the packets that `service` sends.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn lose(&self, percent: u8, service: SocketAddr) -> Result<()> {
        let (ip, port) = (service.ip(), service.port());
        let luck = format!("numgen random mod 100 < {percent}");
        self.drop_packets(&[format!("ip saddr {ip} tcp sport {port} {luck}")]).await
    }

    /// No packet passes to or from `address` at all, except to itself: as if its machine were unplugged.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn unplug(&self, address: IpAddr) -> Result<()> {
        self.drop_packets(&[
            format!("ip saddr {address} ip daddr != {address}"),
            format!("ip saddr != {address} ip daddr {address}"),
        ])
        .await
    }

    /// The connection from `client` to `service` is reset, and both ends are told: a firewall that
    /// restarts, an impatient load balancer.
    ///
    /// # Errors
    /// Without root, or where the kernel cannot do it.
    pub async fn reset(&self, client: SocketAddr, service: SocketAddr) -> Result<()> {
        let (src, dst) = (service.to_string(), client.to_string());
        let arguments = ["-K", "-H", "-t", "-n", "-a", "src", &src, "dst", &dst];
        let arguments = arguments.map(AsRef::as_ref);
        run_tool("ss", &arguments, b"").await?;
        let left = run_tool("ss", &arguments[1..], b"").await?;
        let left = String::from_utf8_lossy(&left);
        match left.lines().find(|line| !line.contains("TIME-WAIT")) {
            None => Ok(()),
            Some(line) => Err(LabError::Refused(format!("the kernel does not reset {line}"))),
        }
    }

    /// From now on whatever `client` says on its connection to `service` is answered by a reset, and
    /// `service` hears nothing of it: a firewall that has forgotten the connection. The service keeps its
    /// end, and whatever belongs to it.
    ///
    /// # Errors
    /// Without root, or without nftables.
    pub async fn forget(&self, client: SocketAddr, service: SocketAddr) -> Result<()> {
        let ends = |from: SocketAddr, to: SocketAddr| {
            let (saddr, sport) = (from.ip(), from.port());
            format!(
                "ip saddr {saddr} tcp sport {sport} ip daddr {} tcp dport {}",
                to.ip(),
                to.port()
            )
        };
        self.rules(
            CUT,
            &[
                format!("{} reject with tcp reset", ends(client, service)),
                // The reset itself comes from there.
                format!("{} tcp flags & rst == 0 drop", ends(service, client)),
            ],
        )
        .await
    }

    /// Mends everything that was broken.
    ///
    /// # Errors
    /// When the rules cannot be removed.
    pub async fn heal(&self) -> Result<()> {
        if !self.used.load(Ordering::Relaxed) {
            return Ok(());
        }
        let table = table(self.run.number());
        self.nft(&format!("flush table ip {table}\n")).await
    }

    async fn drop_packets(&self, matches: &[String]) -> Result<()> {
        let rules: Vec<_> = matches.iter().map(|packets| format!("{packets} drop")).collect();
        self.rules(CUT, &rules).await
    }

    async fn rules(&self, chain: Chain, rules: &[String]) -> Result<()> {
        if !geteuid().is_root() {
            return Err(LabError::Refused("a broken network takes root".into()));
        }
        let table = table(self.run.number());
        let Chain { name, kind, hook, lo } = chain;
        // Adding what exists already is no error to nft.
        let mut script = format!(
            "add table ip {table}\n\
             add chain ip {table} {name} {{ type {kind} hook {hook} priority 0; }}\n"
        );
        for rule in rules {
            script += &format!("add rule ip {table} {name} {lo} {rule}\n");
        }
        self.used.store(true, Ordering::Relaxed);
        self.nft(&script).await
    }

    async fn nft(&self, script: &str) -> Result<()> {
        run_tool("nft", &["-f".as_ref(), "-".as_ref()], script.as_bytes()).await.map(drop)
    }
}

/// Where packets are looked at.
#[derive(Clone, Copy)]
struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: &'static str,
    lo: &'static str,
}

/// Where they arrive.
const CUT: Chain = Chain { name: "cut", kind: "filter", hook: "input", lo: "iif lo" };

/// Where they leave: only there is it known who sends them.
const AWAY: Chain = Chain { name: "away", kind: "filter", hook: "output", lo: "oif lo" };

/// Chain for packets that leave, where they may be given another destination.
const LED: Chain = Chain { name: "led", kind: "nat", hook: "output", lo: "oif lo" };

impl Drop for Faults {
    fn drop(&mut self) {
        if self.used.load(Ordering::Relaxed) {
            remove_rules(self.run.number());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    /// A partition that lets packets pass would make every story about partitions pass too.
    #[tokio::test]
    async fn a_partition_parts_two_hosts_until_healed() {
        if !geteuid().is_root() {
            return;
        }
        let run = Arc::new(Run::begin().expect("a number is free"));
        let host = |host| UdpSocket::bind(run.socket(host, 3306)).expect("the address is free");
        let (one, two, three) = (host(1), host(2), host(3));
        let heard = || {
            // Packets over loopback arrive in order: what was sent before this one and is not there was
            // dropped.
            three.send_to(b"three", run.socket(2, 3306)).expect("sent");
            let mut heard = Vec::new();
            while heard.last().is_none_or(|last| last != "three") {
                let mut buffer = [0; 16];
                let length = two.recv(&mut buffer).expect("received");
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            heard
        };
        let faults = Faults::new(&run);

        one.send_to(b"before", run.socket(2, 3306)).expect("sent");
        assert_eq!(heard(), ["before", "three"]);

        let (ip, other) = (run.number().address(1).into(), run.number().address(2).into());
        faults.partition(ip, other).await.expect("nft works");
        one.send_to(b"during", run.socket(2, 3306)).expect("sent");
        assert_eq!(heard(), ["three"]);

        faults.heal().await.expect("nft works");
        one.send_to(b"after", run.socket(2, 3306)).expect("sent");
        assert_eq!(heard(), ["after", "three"]);
    }

    /// A reset that reaches one end only would be another story.
    #[tokio::test]
    async fn a_reset_reaches_both_ends_and_a_forgotten_connection_one() {
        if !geteuid().is_root() {
            return;
        }
        let run = Arc::new(Run::begin().expect("a number is free"));
        let service = run.socket(1, 3306);
        let listener = TcpListener::bind(service).expect("the address is free");
        let faults = Faults::new(&run);
        for both in [true, false] {
            let mut client = TcpStream::connect(service).expect("it listens");
            let (mut served, peer) = listener.accept().expect("somebody came");
            if both {
                faults.reset(peer, service).await.expect("the kernel can");
                assert!(served.read(&mut [0]).is_err(), "it was told");
            } else {
                faults.forget(peer, service).await.expect("nft works");
                client.write_all(b"x").expect("it knows of nothing yet");
                served.set_nonblocking(true).expect("a socket");
                let heard = served.read(&mut [0]).expect_err("nothing comes");
                assert_eq!(heard.kind(), std::io::ErrorKind::WouldBlock);
            }
            assert!(client.read(&mut [0]).is_err(), "the client is told");
        }
    }
}
