//! More clients than there are seats.

use std::time::Duration;

use lab::raw::{Heard, Raw};
use lab::wait::{Look, wait_until};
use lab::{Result, sql};
use mysql_async::Conn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::{SOON, Stage};

/// A client in a reconnect loop on a hundred machines must not take the database from the others, nor
/// fill the disk with log lines.
#[tokio::test]
async fn ten_thousand_connections_beyond_the_limit_are_turned_away() -> Result<()> {
    raise_file_limit();
    let stage = Stage::set(|spec| spec.set("listen.max_connections", SEATS)).await?;
    // One seat is the bystander's. The last of these is turned away.
    let mut seated = Vec::new();
    for _ in 1..SEATS {
        seated.push(sql::connect(stage.proxy.tcp_account()).await?);
    }
    let mut crowd = JoinSet::new();
    let (mut told, mut closed) = (0, 0);
    for number in 0..CROWD {
        if number >= AT_ONCE {
            count(crowd.join_next().await.expect("they are on their way"), &mut told, &mut closed);
        }
        let address = stage.proxy.tcp();
        crowd.spawn(async move { Raw::connect(address).await?.hear().await });
    }
    while let Some(heard) = crowd.join_next().await {
        count(heard, &mut told, &mut closed);
    }
    assert_eq!(told + closed, CROWD);
    assert!(told > CROWD * 9 / 10, "{told} of {CROWD} were told why");
    let lines = stage.proxy.part().said("too many connections");
    assert!((1..100).contains(&lines), "{lines} lines say so");

    // Those who were in were not disturbed, and a seat that is given up is given to the next.
    for conn in &mut seated {
        let one: u8 = sql::value(conn, "SELECT 1").await?;
        assert_eq!(one, 1);
    }
    let refused = Conn::new(stage.proxy.tcp_account()).await.expect_err("every seat is taken");
    assert!(refused.to_string().contains("1040"), "{refused}");
    seated.pop().expect("they are seated").disconnect().await.expect("it is open");
    let next = async || match Conn::new(stage.proxy.tcp_account()).await {
        Ok(_conn) => Look::Done(()),
        Err(error) => stage.proxy.part().look(error),
    };
    wait_until("the next client's login", SOON, Some(&stage.proxy.part().log()), next).await?;
    stage.unharmed().await
}

/// Thousands that stay, and say nothing or half a word, cost a seat each until their time is up, and
/// little memory.
#[tokio::test]
async fn thousands_of_half_logins_cost_little_and_pass() -> Result<()> {
    let files = raise_file_limit();
    let crowd = usize::try_from(files / 2).unwrap_or(CROWD).min(4000);
    let stage = Stage::set(|spec| spec.set("listen.login_timeout", "15s")).await?;
    let mut waiting = Vec::new();
    for number in 0..crowd {
        let mut client = Raw::connect(stage.proxy.tcp()).await?;
        if number % 2 == 0 {
            client.say(b"\x50\0\0\x01\x0f\xa2").await?;
        }
        waiting.push(client);
    }
    sql::connect(stage.proxy.tcp_account()).await?;
    let mut ends = JoinSet::new();
    for mut client in waiting {
        ends.spawn(async move {
            assert!(matches!(client.hear().await?, Heard::Packet(0, _)), "each was greeted");
            // The client has been connected for up to 15 s.
            loop {
                match client.hear().await {
                    Err(_still_open) => {}
                    Ok(heard) => return Ok::<_, lab::LabError>(heard),
                }
            }
        });
    }
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(end) = ends.join_next().await {
            assert_eq!(end.expect("it does not panic")?, Heard::Closed);
        }
        Ok::<_, lab::LabError>(())
    });
    ended.await.expect("their time is up")?;
    stage.only_the_bystander_is_left().await?;
    stage.unharmed().await
}

fn count(
    heard: std::result::Result<Result<Heard>, tokio::task::JoinError>,
    told: &mut usize,
    closed: &mut usize,
) {
    match heard.expect("it does not panic").expect("an answer, or the end") {
        Heard::Closed => *closed += 1,
        heard => {
            let error = heard.error().expect("an error and no greeting");
            assert_eq!(error.code, 1040, "{error}");
            *told += 1;
        }
    }
}

/// Every client of the crowd is a file here. Returns how many there may be.
fn raise_file_limit() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit it may be raised");
    hard
}

const CROWD: usize = 10_000;

/// How many are on their way at a time: no more than the listener's backlog. Beyond it the kernel lets
/// some wait for seconds.
const AT_ONCE: usize = 1000;
const SEATS: i64 = 20;
