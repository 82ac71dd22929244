use std::net::Ipv4Addr;

use ido_proxy_config::consul::ConsulService;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::cluster::model::testing::address;
use crate::cluster::testing::fake_consul::{FakeConsul, Question, Reply, health};

/// Time enough for any answer, for questions that are to succeed.
const PATIENT: Duration = Duration::from_secs(20);
/// Soon over, for questions that are to fail.
const HASTY: Duration = Duration::from_millis(200);

fn settings(address: SocketAddr) -> configured::Consul {
    configured::Consul {
        address,
        authorities: None,
        token: None,
        service: "galeradb.service.consul".parse().unwrap(),
    }
}

fn consul(settings: configured::Consul, timeout: Duration) -> Consul {
    let discovery = DiscoverySettings {
        service: None,
        consul: Some(settings),
        nameservers: Vec::new(),
        port: 3306,
        nodes: Vec::new(),
        excluded: Vec::new(),
        interval: timeout,
        timeout,
    };
    Consul::of(&discovery).unwrap().unwrap()
}

async fn asked(fake: &FakeConsul, known: Option<u64>) -> Result<Answer, Failure> {
    consul(settings(fake.address), PATIENT).ask(known).await
}

/// How a question to one that always replies like this ends.
async fn failure(reply: Reply) -> Failure {
    failure_within(PATIENT, reply).await
}

async fn failure_within(timeout: Duration, reply: Reply) -> Failure {
    let fake = FakeConsul::start(&[]).await;
    fake.play(move |_: &Question| reply.clone());
    let mut consul = consul(settings(fake.address), timeout);
    consul.wait = timeout;
    let now = consul.ask(None).await.unwrap_err();
    assert_eq!(consul.ask(Some(7)).await, Err(now.clone()), "waiting makes no difference");
    now
}

#[tokio::test]
async fn it_names_the_nodes_that_consul_has_on_its_books() {
    let fake = FakeConsul::start(&[address(2), address(1)]).await;
    let answer = asked(&fake, None).await.unwrap();
    let nodes: Vec<_> = answer.nodes.iter().map(|node| (node.priority, node.address)).collect();
    assert_eq!((nodes, answer.index), (vec![(1, address(1)), (1, address(2))], 1));
    let questions = fake.questions().borrow().clone();
    assert_eq!(questions[0].target, "/v1/health/service/galeradb?wait=10000ms");
    assert!(!questions[0].head.contains("x-consul-token"));
}

#[tokio::test]
async fn a_question_with_an_index_waits_for_news() {
    let fake = FakeConsul::start(&[address(1)]).await;
    let (answer, ()) = tokio::join!(asked(&fake, Some(1)), async {
        let mut questions = fake.questions();
        questions.wait_for(|questions| !questions.is_empty()).await.unwrap();
        fake.write(&[address(1), address(2)]);
    });
    let answer = answer.unwrap();
    assert_eq!((answer.nodes.len(), answer.index), (2, 2));
}

#[tokio::test]
async fn tag_datacenter_and_token_are_sent() {
    let fake = FakeConsul::start(&[address(1)]).await;
    let service: ConsulService = "v1.writer.galeradb.service.dc2.consul".parse().unwrap();
    let token = Some(SecretString::from("t0ken"));
    let consul = consul(configured::Consul { service, token, ..settings(fake.address) }, PATIENT);
    consul.ask(None).await.unwrap();
    let question = fake.questions().borrow()[0].clone();
    let expected = "/v1/health/service/galeradb?tag=v1.writer&dc=dc2&wait=10000ms";
    assert_eq!(question.target, expected);
    assert!(question.head.contains("x-consul-token: t0ken\r\n"), "{}", question.head);
    assert!(!format!("{consul:?}").contains("t0ken"));
}

#[tokio::test]
async fn each_trouble_has_a_name() {
    let says = |index, body: &str| Reply::Says { index, body: body.to_owned() };
    let closed = Reply::Bytes(Vec::new());
    assert_eq!(failure(closed).await, Failure::Closed);
    let cut = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 9\r\n\r\n[";
    assert_eq!(failure(Reply::Bytes(cut.to_vec())).await, Failure::Closed);
    assert_eq!(failure_within(HASTY, Reply::Silence).await, Failure::Silent);
    let denied = Reply::Status(403, "Permission denied\n");
    let status = |code, message: &str| Failure::Status { code, message: message.to_owned() };
    assert_eq!(failure(denied).await, status(403, "Permission denied"));
    let leaderless = Reply::Status(500, "No cluster leader");
    assert_eq!(failure(leaderless).await, status(500, "No cluster leader"));
    assert_eq!(failure(Reply::Status(301, "")).await, Failure::Redirected(301));
    assert_eq!(failure(Reply::Status(307, "")).await, Failure::Redirected(307));
    assert_eq!(failure(Reply::Endless).await, Failure::TooLong);
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX));
    assert_eq!(failure(Reply::Bytes(long_head.into_bytes())).await, Failure::TooLong);
    for garbage in [
        says(Some(9), "<html>welcome</html>"),
        says(Some(9), ""),
        Reply::Bytes(b"5.5.5-10.11.6-MariaDB\0".to_vec()),
        Reply::Bytes(vec![0xff; 40]),
    ] {
        let failure = failure(garbage.clone()).await;
        assert!(matches!(failure, Failure::Garbled(_)), "{garbage:?}: {failure:?}");
    }
}

#[tokio::test]
async fn an_answer_that_trickles_in_costs_no_more_time_than_silence() {
    let head = "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 99\r\n\r\n[";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trickle = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = async { consul(settings(address), HASTY).ask(None).await } => {
            assert_eq!(answer, Err(Failure::Silent));
        }
        () = trickle => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn an_index_that_is_missing_or_no_number_is_none() {
    let fake = FakeConsul::start(&[]).await;
    let body = health(&[address(1)]);
    let nonsense = format!(
        "HTTP/1.1 200 OK\r\nX-Consul-Index: -1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for reply in [Reply::Says { index: None, body }, Reply::Bytes(nonsense.into_bytes())] {
        fake.play(move |_: &Question| reply.clone());
        assert_eq!(asked(&fake, None).await.unwrap().index, 0);
    }
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(consul(settings(address), PATIENT).ask(None).await, Err(Failure::Refused));
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap()
}

fn acceptor() -> TlsAcceptor {
    let key =
        PrivateKeyDer::from_pem_slice(include_bytes!("../../testing/certificates/server.key"))
            .unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            certificates(include_bytes!("../../testing/certificates/server.pem")),
            key,
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A token in the hands of somebody who only says to be Consul opens more than the list of nodes.
#[tokio::test]
async fn by_tls_only_a_certificate_of_the_given_authority_is_trusted() {
    let fake = FakeConsul::start_tls(&[address(1)], acceptor()).await;
    let trusting = |pem: &[u8]| {
        let authorities = Some(certificates(pem));
        consul(configured::Consul { authorities, ..settings(fake.address) }, PATIENT)
    };
    let answer = trusting(include_bytes!("../../testing/certificates/ca.pem")).ask(None).await;
    assert_eq!(answer.unwrap().nodes.len(), 1);

    let answer =
        trusting(include_bytes!("../../testing/certificates/other-ca.pem")).ask(None).await;
    assert!(matches!(answer, Err(Failure::Untrusted(_))), "{answer:?}");
    // Only one side speaks TLS: first the client, then the server.
    let plain = FakeConsul::start(&[address(1)]).await;
    plain.play(|_: &Question| Reply::Status(400, "no TLS"));
    let authorities = Some(certificates(include_bytes!("../../testing/certificates/ca.pem")));
    let by_tls = configured::Consul { authorities, ..settings(plain.address) };
    assert!(consul(by_tls, HASTY).ask(None).await.is_err());
    assert!(consul(settings(fake.address), HASTY).ask(None).await.is_err());
    assert_eq!(fake.questions().borrow().len(), 1, "nothing was asked of whom we do not trust");
}

#[test]
fn a_certificate_that_is_none_is_told_at_the_start() {
    let nonsense = Some(vec![CertificateDer::from(vec![1, 2, 3])]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8501));
    let mut discovery = DiscoverySettings {
        service: None,
        consul: Some(configured::Consul { authorities: nonsense, ..settings(address) }),
        nameservers: Vec::new(),
        port: 3306,
        nodes: Vec::new(),
        excluded: Vec::new(),
        interval: PATIENT,
        timeout: PATIENT,
    };
    assert!(Consul::of(&discovery).is_err());
    discovery.consul = None;
    assert!(Consul::of(&discovery).unwrap().is_none());
}
