//! A name server, over UDP and TCP on one loopback port, that answers by script: it can be right,
//! wrong, silent or broken, and change its mind with every question.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running name server; it ends when dropped.
pub(crate) struct FakeDns {
    /// Where it listens, UDP and TCP.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A question that the fake received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    /// The full name, with its final dot.
    pub(crate) name: String,
    /// The type of the records.
    pub(crate) kind: RecordType,
    /// Whether it came over TCP.
    pub(crate) tcp: bool,
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With an error code, or with [`ResponseCode::NoError`] and no records.
    Code(ResponseCode),
    /// With records and glue, but saying that they are not all (TC).
    Cut(Vec<Record>, Vec<Record>),
    /// With no records, but saying that there are some (TC).
    CutShort,
    /// With bytes that are no message.
    Garbage,
    /// With NXDOMAIN, and an SOA record that says for how long it holds.
    NoSuchName {
        /// In seconds (RFC 2308).
        negative_ttl: u32,
    },
    /// To a question with another id.
    OtherId(Vec<Record>),
    /// To a question for another name.
    OtherQuestion(Vec<Record>),
    /// With records, and glue.
    Records(Vec<Record>, Vec<Record>),
    /// Not at all.
    Silence,
}

type Script = Box<dyn FnMut(&Question) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    questions: watch::Sender<Vec<Question>>,
}

impl FakeDns {
    /// Starts a server that answers as `script` says.
    pub(crate) async fn start(script: impl FnMut(&Question) -> Reply + Send + 'static) -> Self {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            questions: watch::Sender::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// Answers by another script from now on.
    pub(crate) fn play(&self, script: impl FnMut(&Question) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Everything it was asked so far, to look at or to wait for.
    pub(crate) fn questions(&self) -> watch::Receiver<Vec<Question>> {
        self.shared.questions.subscribe()
    }
}

/// `name` is at `ip`, for no time at all, as Consul says it.
pub(crate) fn a(name: &str, ip: [u8; 4]) -> Record {
    Record::from_rdata(fqdn(name), 0, RData::A(A(ip.into())))
}

/// `name` is at `ip`.
pub(crate) fn aaaa(name: &str, ip: &str) -> Record {
    Record::from_rdata(fqdn(name), 0, RData::AAAA(AAAA(ip.parse().unwrap())))
}

/// `name` is another name for `target`.
pub(crate) fn cname(name: &str, target: &str) -> Record {
    Record::from_rdata(fqdn(name), 0, RData::CNAME(CNAME(fqdn(target))))
}

/// `name` is served by `target` at `port`.
pub(crate) fn srv(name: &str, priority: u16, port: u16, target: &str) -> Record {
    Record::from_rdata(fqdn(name), 0, RData::SRV(SRV::new(priority, 1, port, fqdn(target))))
}

fn fqdn(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

/// A UDP and a TCP socket on the same port: taking a free one for TCP may find it in use for UDP.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(reply) = shared.reply(&buffer[..length], false) {
            socket.send_to(&reply, peer).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        if let Some(reply) = shared.reply(&question, true) {
            stream.write_u16(u16::try_from(reply.len()).unwrap()).await?;
            stream.write_all(&reply).await?;
        }
    }
}

impl Shared {
    fn reply(&self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).unwrap();
        let query = asked.queries.first().unwrap().clone();
        let question = Question { name: query.name().to_ascii(), kind: query.query_type(), tcp };
        let reply = (self.script.lock().unwrap())(&question);
        self.questions.send_modify(|questions| questions.push(question));

        let mut message = Message::response(asked.metadata.id, OpCode::Query);
        let mut query = query;
        match reply {
            Reply::Code(code) => message.metadata.response_code = code,
            Reply::Cut(answers, additionals) => {
                message.metadata.truncation = true;
                message.add_answers(answers);
                message.add_additionals(additionals);
            }
            Reply::NoSuchName { negative_ttl } => {
                message.metadata.response_code = ResponseCode::NXDomain;
                let (zone, admin) = (fqdn("consul"), fqdn("hostmaster.consul"));
                let soa = SOA::new(zone.clone(), admin, 1, 3600, 600, 86_400, negative_ttl);
                message.add_authority(Record::from_rdata(zone, negative_ttl, RData::SOA(soa)));
            }
            Reply::CutShort => message.metadata.truncation = true,
            Reply::Garbage => return Some(vec![0xff; 40]),
            Reply::OtherId(records) => {
                message.metadata.id = asked.metadata.id.wrapping_add(1);
                message.add_answers(records);
            }
            Reply::OtherQuestion(records) => {
                query = Query::query(fqdn("elsewhere.example"), question_kind(&records));
                message.add_answers(records);
            }
            Reply::Records(answers, additionals) => {
                message.add_answers(answers);
                message.add_additionals(additionals);
            }
            Reply::Silence => return None,
        }
        message.add_query(query);
        Some(message.to_vec().unwrap())
    }
}

fn question_kind(records: &[Record]) -> RecordType {
    records.first().map_or(RecordType::A, Record::record_type)
}
