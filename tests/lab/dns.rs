//! DNS: asking for a service, and a small server that answers as Consul's does where Consul can't be had.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::{Context, LabError, Result};
use crate::run::Run;

/// The service that Consul names the cluster's nodes by.
pub const SERVICE: &str = "galeradb.service.consul";

/// A DNS server of our own on every node's address, port 8600: SRV and A of [`SERVICE`], TTL 0, shuffled,
/// only nodes that accept connections, as Consul with a TCP check each second answers.
#[derive(Debug)]
pub struct DnsStandIn {
    servers: Vec<SocketAddr>,
    _end: oneshot::Sender<()>,
}

impl DnsStandIn {
    /// Starts one server beside each node, on a thread of its own: a busy test must not stop DNS.
    ///
    /// # Errors
    /// When an address is taken.
    pub fn start(run: &Run, nodes: u8) -> Result<Self> {
        let servers: Vec<_> = (1..=nodes).map(|host| run.socket(host, 8600)).collect();
        let nodes = (1..=nodes).map(|host| (run.number().address(host), true)).collect();
        let sockets = servers.iter().map(|server| {
            let udp = std::net::UdpSocket::bind(server)?;
            let tcp = std::net::TcpListener::bind(server)?;
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok((udp, tcp))
        });
        let sockets = sockets.collect::<std::io::Result<Vec<_>>>();
        let sockets = sockets.context(|| "listening for DNS".into())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context(|| "starting the DNS stand-in".into())?;
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || runtime.block_on(serve(sockets, nodes, ended)));
        Ok(Self { servers, _end: end })
    }

    /// Where it answers.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }
}

/// The addresses and ports that `server` gives for [`SERVICE`], sorted; asked by UDP, within 1 s.
///
/// # Errors
/// The server does not answer.
pub async fn lookup(server: SocketAddr) -> Result<Vec<SocketAddr>> {
    let answer = timeout(Duration::from_secs(1), async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        let mut question = Message::query();
        question.add_query(Query::query(service(), RecordType::SRV));
        socket.send(&question.to_vec().map_err(std::io::Error::other)?).await?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await?;
        Message::from_vec(buffer.get(..length).unwrap_or_default()).map_err(std::io::Error::other)
    });
    let what = || format!("asking {server} for {SERVICE}");
    let answer = answer.await.map_err(|_| LabError::Refused(format!("{}: silence", what())))?;
    Ok(targets(&answer.context(what)?))
}

/// SRV answers, joined with the addresses that come along.
fn targets(answer: &Message) -> Vec<SocketAddr> {
    let mut targets = Vec::new();
    for service in &answer.answers {
        let RData::SRV(service) = &service.data else { continue };
        for record in &answer.additionals {
            match record.data {
                RData::A(A(ip)) if record.name == service.target => {
                    targets.push(SocketAddrV4::new(ip, service.port).into());
                }
                _ => {}
            }
        }
    }
    targets.sort_unstable();
    targets
}

/// Each node with whether it passes its check.
type Nodes = Vec<(Ipv4Addr, bool)>;

async fn serve(
    sockets: Vec<(std::net::UdpSocket, std::net::TcpListener)>,
    nodes: Nodes,
    ended: oneshot::Receiver<()>,
) {
    let hosts: Vec<_> = nodes.iter().map(|(ip, _)| *ip).collect();
    let nodes = Arc::new(Mutex::new(nodes));
    for (udp, tcp) in sockets {
        // Sockets of a living runtime are always registered.
        let (Ok(udp), Ok(tcp)) = (UdpSocket::from_std(udp), TcpListener::from_std(tcp)) else {
            return;
        };
        tokio::spawn(serve_udp(udp, Arc::clone(&nodes)));
        tokio::spawn(serve_tcp(tcp, Arc::clone(&nodes)));
    }
    for ip in hosts {
        tokio::spawn(check(ip, Arc::clone(&nodes)));
    }
    let _ = ended.await;
}

async fn serve_udp(socket: UdpSocket, nodes: Arc<Mutex<Nodes>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), &nodes) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, nodes: Arc<Mutex<Nodes>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let nodes = Arc::clone(&nodes);
        tokio::spawn(async move { while answer_tcp(&mut stream, &nodes).await.is_some() {} });
    }
}

/// One question over TCP, where two bytes of length come before each message.
async fn answer_tcp(stream: &mut TcpStream, nodes: &Mutex<Nodes>) -> Option<()> {
    let length = stream.read_u16().await.ok()?;
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await.ok()?;
    let answer = answer(&question, nodes)?;
    stream.write_u16(u16::try_from(answer.len()).ok()?).await.ok()?;
    stream.write_all(&answer).await.ok()
}

/// Consul's check of a node: whether its port accepts within a second, each second.
async fn check(ip: Ipv4Addr, nodes: Arc<Mutex<Nodes>>) {
    let second = Duration::from_secs(1);
    loop {
        let passes = matches!(timeout(second, TcpStream::connect((ip, 3306))).await, Ok(Ok(_)));
        for node in nodes.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if node.0 == ip {
                node.1 = passes;
            }
        }
        tokio::time::sleep(second).await;
    }
}

fn answer(question: &[u8], nodes: &Mutex<Nodes>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?;
    let passing: Vec<_> = {
        let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
        // Never twice the same order, as with Consul.
        nodes.rotate_left(1);
        nodes.iter().filter(|(_, passes)| *passes).map(|(ip, _)| *ip).collect()
    };
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.add_query(query.clone());
    if *query.name() != service() || passing.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer.to_vec().ok();
    }
    for ip in passing {
        let [.., host] = ip.octets();
        let target = Name::from_ascii(format!("node{host}.node.dc1.consul.")).ok()?;
        match query.query_type() {
            RecordType::SRV => {
                let data = RData::SRV(SRV::new(1, 1, 3306, target.clone()));
                answer.add_answer(Record::from_rdata(service(), 0, data));
                answer.add_additional(Record::from_rdata(target, 0, RData::A(A(ip))));
            }
            RecordType::A => {
                answer.add_answer(Record::from_rdata(service(), 0, RData::A(A(ip))));
            }
            _ => {}
        }
    }
    answer.to_vec().ok()
}

fn service() -> Name {
    Name::from_ascii(SERVICE)
        .map(|mut name| {
            name.set_fqdn(true);
            name
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Discovery is tested against these answers on machines without Consul.
    #[test]
    fn the_stand_in_names_the_passing_nodes_with_their_ports() {
        let one = Ipv4Addr::new(127, 0, 20, 1);
        let two = Ipv4Addr::new(127, 0, 20, 2);
        let nodes = Mutex::new(vec![(one, true), (two, false)]);
        let mut question = Message::query();
        question.add_query(Query::query(service(), RecordType::SRV));
        let bytes = question.to_vec().expect("a question encodes");
        let reply = answer(&bytes, &nodes).expect("it answers");
        let reply = Message::from_vec(&reply).expect("it decodes");
        assert_eq!(reply.metadata.id, question.metadata.id);
        assert_eq!(targets(&reply), [SocketAddr::from((one, 3306))]);
    }

    /// With every node down Consul says that the name does not exist: the proxy must meet that here too.
    #[test]
    fn no_passing_node_is_nxdomain() {
        let nodes = Mutex::new(vec![(Ipv4Addr::LOCALHOST, false)]);
        let mut question = Message::query();
        question.add_query(Query::query(service(), RecordType::A));
        let bytes = question.to_vec().expect("a question encodes");
        let reply = answer(&bytes, &nodes).expect("it answers");
        let reply = Message::from_vec(&reply).expect("it decodes");
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(answer(b"garbage", &nodes), None);
    }
}
