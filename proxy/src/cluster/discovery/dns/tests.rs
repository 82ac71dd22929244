use std::collections::BTreeSet;

use hickory_resolver::proto::rr::RecordType;

use super::*;
use crate::cluster::testing::fake_dns::{FakeDns, Question, Reply, a, aaaa, cname, srv};

const NAME: &str = "db.service.consul";

/// Time enough for any answer, for lookups that are to succeed.
const PATIENT: Duration = Duration::from_secs(20);
/// Soon over, for lookups that are to fail.
const HASTY: Duration = Duration::from_millis(200);

async fn lookup(servers: &[&FakeDns], timeout: Duration) -> Result<Vec<String>, Vec<Failure>> {
    let servers: Vec<_> = servers.iter().map(|server| server.address).collect();
    lookup_at(&servers, timeout).await
}

async fn lookup_at(servers: &[SocketAddr], timeout: Duration) -> Result<Vec<String>, Vec<Failure>> {
    let service = Service::try_new(NAME, 3306, servers, timeout).unwrap();
    let nodes = service.lookup(|_, _| {}).await;
    let nodes = nodes.map_err(|error| error.failures.into_values().collect::<Vec<_>>())?;
    Ok(nodes.iter().map(|node| format!("{} {}", node.priority, node.address)).collect())
}

/// Answers as Consul does: SRV with the addresses as glue, A and AAAA apart.
fn consul(question: &Question) -> Reply {
    match question.kind {
        RecordType::SRV => Reply::Records(
            vec![
                srv(NAME, 1, 3307, "n2.node.dc1.consul"),
                srv(NAME, 1, 3306, "n1.node.dc1.consul"),
            ],
            vec![a("N1.node.dc1.consul", [192, 0, 2, 1]), a("n2.node.dc1.consul", [192, 0, 2, 2])],
        ),
        _ => Reply::Records(vec![a(NAME, [192, 0, 2, 9])], vec![]),
    }
}

/// Says nothing of SRV, and answers other questions as told.
fn addresses_only(question: &Question, others: impl FnOnce() -> Reply) -> Reply {
    match question.kind {
        RecordType::SRV => Reply::Code(ResponseCode::NoError),
        _ => others(),
    }
}

fn kinds(server: &FakeDns) -> Vec<RecordType> {
    let mut kinds: Vec<_> = server.questions().borrow().iter().map(|asked| asked.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn srv_gives_ports_and_priorities_and_its_glue_the_addresses() {
    let server = FakeDns::start(consul).await;
    let nodes = lookup(&[&server], PATIENT).await;
    assert_eq!(nodes.unwrap(), ["1 192.0.2.1:3306", "1 192.0.2.2:3307"]);
    assert_eq!(kinds(&server), [RecordType::SRV], "one question is enough");
    let name = server.questions().borrow()[0].name.clone();
    assert_eq!(name, "db.service.consul.", "no search list has a say");
}

#[tokio::test]
async fn targets_without_glue_are_looked_up() {
    let server =
        FakeDns::start(|question: &Question| match (question.name.as_str(), question.kind) {
            (_, RecordType::SRV) => Reply::Records(
                vec![srv(NAME, 2, 3306, "one.example"), srv(NAME, 1, 3306, "gone.example")],
                // Nobody asked for this one.
                vec![a("other.example", [192, 0, 2, 66])],
            ),
            ("one.example.", RecordType::A) => {
                Reply::Records(vec![a("one.example", [192, 0, 2, 1])], vec![])
            }
            ("one.example.", RecordType::AAAA) => {
                Reply::Records(vec![aaaa("one.example", "2001:db8::1")], vec![])
            }
            _ => Reply::Code(ResponseCode::NXDomain),
        })
        .await;
    let nodes = lookup(&[&server], PATIENT).await;
    assert_eq!(nodes.unwrap(), ["2 192.0.2.1:3306", "2 [2001:db8::1]:3306"]);
}

#[tokio::test]
async fn plain_addresses_get_the_configured_port() {
    for no_srv in [ResponseCode::NoError, ResponseCode::NXDomain, ResponseCode::NotImp] {
        let server = FakeDns::start(move |question: &Question| match question.kind {
            RecordType::SRV => Reply::Code(no_srv),
            RecordType::A => Reply::Records(
                vec![
                    cname(NAME, "cluster.example"),
                    a("cluster.example", [192, 0, 2, 2]),
                    a("cluster.example", [192, 0, 2, 1]),
                ],
                vec![],
            ),
            _ => Reply::Code(ResponseCode::NoError),
        })
        .await;
        let nodes = lookup(&[&server], PATIENT).await;
        assert_eq!(nodes.unwrap(), ["0 192.0.2.1:3306", "0 192.0.2.2:3306"], "{no_srv}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let server = FakeDns::start(
        |question: &Question| {
            if question.tcp { consul(question) } else { Reply::CutShort }
        },
    )
    .await;
    let nodes = lookup(&[&server], PATIENT).await;
    assert_eq!(nodes.unwrap().len(), 2);
}

#[tokio::test]
async fn a_shuffled_answer_is_the_same_answer() {
    let mut turn = 0;
    let server = FakeDns::start(move |_: &Question| {
        let mut records = vec![
            srv(NAME, 1, 3306, "one.example"),
            srv(NAME, 1, 3306, "two.example"),
            srv(NAME, 7, 3306, "one.example"),
        ];
        turn += 1;
        records.rotate_left(turn % 3);
        let glue = vec![a("one.example", [192, 0, 2, 1]), a("two.example", [192, 0, 2, 2])];
        Reply::Records(records, glue)
    })
    .await;
    for _ in 0..3 {
        let nodes = lookup(&[&server], PATIENT).await;
        assert_eq!(nodes.unwrap(), ["1 192.0.2.1:3306", "1 192.0.2.2:3306"]);
    }
    assert_eq!(server.questions().borrow().len(), 3, "nothing is cached");
}

#[tokio::test]
async fn a_failing_server_is_not_asked_for_addresses() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let server = FakeDns::start(move |question: &Question| match question.kind {
            RecordType::SRV => Reply::Code(code),
            _ => consul(question),
        })
        .await;
        assert_eq!(lookup(&[&server], PATIENT).await, Err(vec![Failure::Code(code)]));
        assert_eq!(kinds(&server), [RecordType::SRV], "or nodes at the default port would appear");
    }
}

#[tokio::test]
async fn answers_without_nodes_are_failures() {
    let nothing = [
        Reply::Code(ResponseCode::NXDomain),
        Reply::Code(ResponseCode::NoError),
        Reply::Records(vec![srv(NAME, 0, 0, ".")], vec![]),
        Reply::Records(vec![srv(NAME, 1, 3306, "gone.example")], vec![]),
        Reply::Records(vec![cname(NAME, "gone.example")], vec![]),
    ];
    for reply in nothing {
        let first = reply.clone();
        let server = FakeDns::start(move |question: &Question| {
            if question.kind == RecordType::SRV && question.name == "db.service.consul." {
                first.clone()
            } else {
                Reply::Code(ResponseCode::NXDomain)
            }
        })
        .await;
        assert_eq!(lookup(&[&server], PATIENT).await, Err(vec![Failure::NoNodes]), "{reply:?}");
    }
}

#[tokio::test]
async fn a_silent_server_costs_the_timeout_and_no_more() {
    let server = FakeDns::start(|_: &Question| Reply::Silence).await;
    assert_eq!(lookup(&[&server], HASTY).await, Err(vec![Failure::Silent]));
}

#[tokio::test]
async fn nonsense_is_a_failure() {
    let nonsense = [
        Reply::Garbage,
        Reply::CutShort,
        Reply::OtherId(vec![a(NAME, [192, 0, 2, 66])]),
        Reply::OtherQuestion(vec![a(NAME, [192, 0, 2, 66])]),
    ];
    for reply in nonsense {
        let always = reply.clone();
        let server = FakeDns::start(move |_: &Question| always.clone()).await;
        let failures = lookup(&[&server], HASTY).await.unwrap_err();
        assert_eq!(failures.len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn one_good_server_among_bad_ones_is_enough() {
    let silent = FakeDns::start(|_: &Question| Reply::Silence).await;
    let failing = FakeDns::start(|_: &Question| Reply::Code(ResponseCode::ServFail)).await;
    let unaware = FakeDns::start(|_: &Question| Reply::Code(ResponseCode::NXDomain)).await;
    let good = FakeDns::start(consul).await;
    // Nobody listens here: the port was free a moment ago, and goes unanswered in any case.
    let nobody = FakeDns::start(consul).await.address;
    let servers = [nobody, silent.address, failing.address, unaware.address, good.address];
    let service = Service::try_new(NAME, 3306, &servers, Duration::from_secs(2)).unwrap();
    let mut heard = BTreeMap::new();
    let nodes = service.lookup(|server, answer| drop(heard.insert(server, answer.clone()))).await;
    assert_eq!(nodes.unwrap().len(), 2);
    assert_eq!(heard.len(), servers.len(), "and every one of them is told");
    assert_eq!(heard[&silent.address], Err(Failure::Silent));
    assert_eq!(heard[&unaware.address], Err(Failure::NoNodes));
}

#[tokio::test]
async fn every_server_is_blamed_by_name() {
    let silent = FakeDns::start(|_: &Question| Reply::Silence).await;
    let failing = FakeDns::start(|_: &Question| Reply::Code(ResponseCode::ServFail)).await;
    let servers = [silent.address, failing.address];
    let service = Service::try_new(NAME, 3306, &servers, HASTY).unwrap();
    let text = service.lookup(|_, _| {}).await.unwrap_err().to_string();
    assert!(text.contains(&format!("{} does not answer", silent.address)), "{text}");
    assert!(text.contains(&format!("{} answers: Server Failure", failing.address)), "{text}");
    let nobody = Service::try_new(NAME, 3306, &[], HASTY).unwrap();
    let error = nobody.lookup(|_, _| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "no name server to ask");
}

#[tokio::test]
async fn a_server_that_ignores_questions_for_ipv6_still_gives_ipv4() {
    let server = FakeDns::start(|question: &Question| {
        addresses_only(question, || match question.kind {
            RecordType::A => Reply::Records(vec![a(NAME, [192, 0, 2, 1])], vec![]),
            _ => Reply::Silence,
        })
    })
    .await;
    let nodes = lookup(&[&server], Duration::from_secs(4)).await;
    assert_eq!(nodes.unwrap(), ["0 192.0.2.1:3306"]);
}

#[tokio::test]
async fn many_targets_cost_no_more_time_than_one() {
    let targets: Vec<_> = (1..=9).map(|n| format!("node{n}.example")).collect();
    let names = targets.clone();
    let server = FakeDns::start(move |question: &Question| match question.kind {
        RecordType::SRV => {
            Reply::Records(names.iter().map(|target| srv(NAME, 1, 3306, target)).collect(), vec![])
        }
        RecordType::A => {
            let target = question.name.trim_end_matches('.');
            let last = names.iter().position(|name| name == target).unwrap();
            Reply::Records(vec![a(target, [192, 0, 2, u8::try_from(last).unwrap()])], vec![])
        }
        // Each target costs the patience that there is with such a server.
        _ => Reply::Silence,
    })
    .await;
    let nodes = lookup(&[&server], Duration::from_secs(4)).await;
    assert_eq!(nodes.map(|nodes| nodes.len()), Ok(targets.len()));
}

#[tokio::test]
async fn an_answer_that_names_thousands_is_not_looked_up_in_full() {
    let server = FakeDns::start(|question: &Question| match question.kind {
        RecordType::SRV if !question.tcp => Reply::CutShort,
        RecordType::SRV => {
            let target = |n: u16| srv(NAME, 1, 3306, &format!("n{n}.example"));
            Reply::Records((0..1_000).map(target).collect(), vec![])
        }
        RecordType::A => Reply::Records(vec![a(&question.name, [192, 0, 2, 1])], vec![]),
        _ => Reply::Code(ResponseCode::NoError),
    })
    .await;
    assert_eq!(lookup(&[&server], PATIENT).await.unwrap(), ["1 192.0.2.1:3306"]);
    let asked = server.questions().borrow().clone();
    // UDP may ask twice.
    let asked: BTreeSet<_> =
        asked.iter().filter(|q| q.kind == RecordType::A).map(|q| &q.name).collect();
    assert!((1..=MAX_TARGETS).contains(&asked.len()), "{}", asked.len());
}

#[tokio::test]
async fn what_one_server_knows_is_not_hidden_by_a_quicker_one() {
    let lagging = FakeDns::start(|question: &Question| match question.kind {
        RecordType::SRV => Reply::Records(
            vec![srv(NAME, 9, 3306, "n1.node.dc1.consul"), srv(NAME, 1, 3306, "old.example")],
            vec![a("n1.node.dc1.consul", [192, 0, 2, 1]), a("old.example", [192, 0, 2, 66])],
        ),
        _ => Reply::Code(ResponseCode::NXDomain),
    })
    .await;
    let mut turn = 0;
    let slow = FakeDns::start(move |question: &Question| {
        turn += 1;
        if turn == 1 { Reply::Silence } else { consul(question) }
    })
    .await;
    let nodes = lookup(&[&lagging, &slow], Duration::from_secs(4)).await;
    let all = ["1 192.0.2.1:3306", "1 192.0.2.2:3307", "1 192.0.2.66:3306"];
    assert_eq!(nodes.unwrap(), all, "the better priority counts");
}

#[tokio::test]
async fn a_server_that_recovers_is_believed_at_the_next_lookup() {
    let server = FakeDns::start(|_: &Question| Reply::Code(ResponseCode::NXDomain)).await;
    assert!(lookup(&[&server], PATIENT).await.is_err());
    server.play(consul);
    assert_eq!(lookup(&[&server], PATIENT).await.unwrap().len(), 2, "no failure is cached");
}

/// A change must be known at the next lookup, whatever time to live the last answer had.
#[tokio::test]
async fn no_time_to_live_is_believed() {
    for ttl in [0, 1, 86_400, u32::MAX] {
        let named = move |last: u8| {
            let mut record = a("one.example", [192, 0, 2, last]);
            record.ttl = ttl;
            let mut service = srv(NAME, 1, 3306, "one.example");
            service.ttl = ttl;
            Reply::Records(vec![service], vec![record])
        };
        let server = FakeDns::start(move |_: &Question| named(1)).await;
        assert_eq!(lookup(&[&server], PATIENT).await.unwrap(), ["1 192.0.2.1:3306"], "{ttl}");
        server.play(move |_: &Question| named(2));
        assert_eq!(lookup(&[&server], PATIENT).await.unwrap(), ["1 192.0.2.2:3306"], "{ttl}");
    }
}

/// Nor is a "no" believed for the time that its SOA record asks for, as Consul's does.
#[tokio::test]
async fn a_no_holds_for_one_lookup_only() {
    let server = FakeDns::start(|_: &Question| Reply::NoSuchName { negative_ttl: 86_400 }).await;
    assert_eq!(lookup(&[&server], PATIENT).await, Err(vec![Failure::NoNodes]));
    server.play(consul);
    assert_eq!(lookup(&[&server], PATIENT).await.unwrap().len(), 2);
}

/// An answer cut short over UDP has some of the nodes at most: what TCP says counts, and if that is
/// nothing, nothing does.
#[tokio::test]
async fn what_fits_into_a_truncated_answer_is_not_all() {
    let cut = |question: &Question| match consul(question) {
        Reply::Records(mut records, glue) if !question.tcp => {
            records.truncate(1);
            Reply::Cut(records, glue)
        }
        whole => whole,
    };
    let server = FakeDns::start(cut).await;
    assert_eq!(lookup(&[&server], PATIENT).await.unwrap().len(), 2);
    let silent = move |question: &Question| {
        if question.tcp { Reply::Silence } else { cut(question) }
    };
    let server = FakeDns::start(silent).await;
    assert_eq!(lookup(&[&server], HASTY).await, Err(vec![Failure::Silent]));
}

#[test]
fn names_that_consul_and_others_use_are_names() {
    for name in [NAME, "db.service.consul.", "_db._tcp.service.consul", "db"] {
        let service = Service::try_new(name, 3306, &[], HASTY).unwrap();
        assert!(service.name.is_fqdn());
    }
    assert!(Service::try_new("a..b", 3306, &[], HASTY).is_err());
    assert!(Service::try_new(&"x".repeat(64), 3306, &[], HASTY).is_err());
}
