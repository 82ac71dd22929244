//! While no primary is usable, clients wait, connected. Icinga takes any error for a reason to forget what
//! it was about to write: it must see a pause and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ido_proxy_protocol::packet::frame;
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::raw::{Heard, Raw};
use lab::run::Run;
use lab::wait::{Look, wait_until};
use lab::{Result, sql};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, ServerError};
use tokio::task::{JoinSet, LocalSet, spawn_local};

/// The database is down for a minute and Icinga starts in that minute: it must come up, wait, and write.
#[tokio::test]
async fn clients_log_in_without_a_primary_and_are_answered_when_there_is_one() -> Result<()> {
    let stage = Stage::without_primary(|spec| spec).await?;
    let mut idle = sql::connect(stage.proxy.tcp_account()).await?;
    let waiting = LocalSet::new();
    waiting
        .run_until(async {
            let ways = [stage.proxy.tcp_account(), stage.proxy.socket_account()];
            let clients: Vec<_> =
                ways.into_iter().map(|way| spawn_local(write_and_ask(way))).collect();
            stage.held(2).await?;
            // Whoever only wants to know whether the proxy lives need not wait.
            let pinged = tokio::time::timeout(SOON, idle.ping()).await;
            pinged.expect("a ping is answered").expect("by an OK");
            assert_eq!(stage.proxy.get("/health").await?.status, 503);

            stage.server.launch().await?;
            for client in clients {
                assert_eq!(client.await.expect("it does not panic")?, Some(1));
            }
            let one: u8 = sql::value(&mut idle, "SELECT 1").await?;
            assert_eq!(one, 1);
            stage.held(0).await?;
            stage.proxy.part().term().await
        })
        .await
}

/// A client that waits for ever looks like a hung client. The error says who gave up and why, and the
/// code is one that Galera's clients know.
#[tokio::test]
async fn after_the_hold_a_clear_error_ends_the_wait() -> Result<()> {
    let stage = Stage::without_primary(|spec| spec.set("failover.hold", "1s")).await?;
    for account in [stage.proxy.tcp_account(), stage.proxy.socket_account()] {
        let mut conn = sql::connect(account).await?;
        let asked = Instant::now();
        let error = server_error(conn.query_drop("SELECT 1").await);
        let waited = asked.elapsed();
        assert_eq!((error.code, error.state.as_str()), (1047, "08S01"));
        assert_eq!(error.message, "ido-proxy: no usable primary for 1s");
        assert!((HOLD..HOLD * 10).contains(&waited), "{waited:?}");
        assert!(conn.ping().await.is_err(), "the session is over");
    }
    stage.proxy.part().says("session ended: no usable primary for 1s", 2, SOON).await?;
    let metrics = stage.proxy.get("/metrics").await?.body;
    let counted = "ido_proxy_refused_total{reason=\"hold_expired\"} 2";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    stage.server.launch().await?;
    stage.proxy.ready(SOON).await?;
    sql::connect(stage.proxy.tcp_account()).await?;
    stage.proxy.part().term().await
}

/// Without a server nobody can know whether a database exists; as soon as one can, it is said in the
/// server's own words.
#[tokio::test]
async fn what_the_server_refuses_is_refused_when_it_comes() -> Result<()> {
    let stage = Stage::without_primary(|spec| spec).await?;
    let mut conn = sql::connect(stage.proxy.tcp_account().db_name(Some("absent"))).await?;
    let waiting = async { server_error(conn.query_drop("SELECT 1").await) };
    let (error, launched) = tokio::join!(waiting, async {
        stage.held(1).await?;
        stage.server.launch().await
    });
    launched?;
    let absent = stage.server.connect().await?.opts().clone();
    let absent = OptsBuilder::from_opts(absent).user(Some("icinga")).pass(Some("icinga"));
    let directly = server_error(Conn::new(absent.db_name(Some("absent"))).await);
    assert_eq!(error, directly);
    stage.proxy.part().term().await
}

/// A wrong password is wrong whether or not there is a server.
#[tokio::test]
async fn passwords_are_checked_without_a_primary() -> Result<()> {
    let stage = Stage::without_primary(|spec| spec).await?;
    let error = server_error(Conn::new(stage.proxy.tcp_account().pass(Some("wrong"))).await);
    assert_eq!(error.code, 1045);
    stage.proxy.part().term().await
}

/// A restarted Icinga sends its dump again, and the one before was never answered: what waits must not
/// pile up, neither as memory nor as seats.
#[tokio::test]
async fn what_waits_is_bounded() -> Result<()> {
    let stage = Stage::without_primary(|spec| {
        spec.set("failover.hold", "4s").set("listen.max_connections", 50)
    })
    .await?;
    let mut clients = JoinSet::new();
    let mut command = Vec::new();
    frame(&query(15 << 20), 0, &mut command);
    let command: Arc<[u8]> = command.into();
    for _ in 0..50 {
        let mut client = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
        let command = Arc::clone(&command);
        clients.spawn(async move {
            // Fails in the end: nobody reads it all.
            let _ = client.say(&command).await;
            client.hear().await
        });
    }
    stage.held(50).await?;
    let late = Conn::new(stage.proxy.tcp_account()).await;
    assert_eq!(server_error(late).code, 1040, "those who wait have their seats");
    while let Some(heard) = clients.join_next().await {
        // Bytes that the proxy has not read reset the connection, which can overtake the error.
        match heard.expect("it does not panic")? {
            Heard::Closed => {}
            heard => assert_eq!(heard.error().map(|error| error.code), Some(1047)),
        }
    }
    stage.held(0).await?;
    let peak = stage.proxy.part().peak_memory()?;
    assert!(peak < MOST_MEMORY, "{peak} KiB for 50 clients");
    stage.proxy.part().term().await
}

/// Clients that give up, as Icinga does when it is restarted, must not keep their seats until the hold
/// ends; whether they had sent a word or a whole batch.
#[tokio::test]
async fn clients_that_give_up_are_let_go() -> Result<()> {
    let stage = Stage::without_primary(|spec| spec).await?;
    let mut quiet = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
    quiet.command(b"\x03SELECT 1").await?;
    let mut loud = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
    loud.command(&query(250_000)).await?;
    stage.held(2).await?;
    quiet.vanish()?;
    loud.vanish()?;
    stage.held(0).await?;
    stage.proxy.part().term().await
}

/// A proxy that runs, before a server that does not.
struct Stage {
    proxy: Proxy,
    server: Plain,
    _run: Arc<Run>,
}

impl Stage {
    async fn without_primary(change: impl FnOnce(ProxySpec) -> ProxySpec) -> Result<Self> {
        let run = Arc::new(Run::begin()?);
        let server = Plain::start(&run, &[]).await?;
        let spec = change(ProxySpec::single(&[server.address()]));
        let proxy = Proxy::prepare(&run, &spec).await?;
        let mut root = server.connect().await?;
        let table = "CREATE TABLE icinga.story (id INT PRIMARY KEY AUTO_INCREMENT)";
        sql::script(&mut root, "a table", table, SOON).await?;
        proxy.set_up_by(root).await?;
        server.part().term().await?;

        proxy.part().launch()?;
        wait_until("503 from /health", SOON, Some(&proxy.part().log()), async || {
            match proxy.get("/health").await {
                Ok(answer) if answer.status == 503 => Look::Done(()),
                Ok(answer) => proxy.part().look(answer.body),
                Err(error) => proxy.part().look(error),
            }
        })
        .await?;
        Ok(Self { proxy, server, _run: run })
    }

    /// Waits until so many clients are held, as `/status` and the metrics have it.
    async fn held(&self, clients: usize) -> Result<()> {
        let what = format!("{clients} clients held");
        let gauge = format!("ido_proxy_sessions_held {clients}");
        wait_until(&what, SOON, Some(&self.proxy.part().log()), async || {
            let (status, metrics) = (self.proxy.status().await, self.proxy.get("/metrics").await);
            let (Ok(status), Ok(metrics)) = (status, metrics) else {
                return self.proxy.part().look("no answer");
            };
            let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
            let held = sessions.iter().filter(|session| session["state"] == "held").count();
            // The gauge is not there before anybody was held.
            let counted = metrics.body.lines().any(|line| line == gauge)
                || clients == 0 && !metrics.body.contains("\nido_proxy_sessions_held ");
            if held == clients && counted {
                Look::Done(())
            } else {
                self.proxy.part().look(format!("{held} held"))
            }
        })
        .await
    }
}

/// Sends a batch, which Icinga does first, and a prepared statement, which comes later.
async fn write_and_ask(account: OptsBuilder) -> Result<Option<u8>> {
    let mut conn = sql::connect(account).await?;
    let batch = "BEGIN; INSERT INTO story VALUES (); COMMIT";
    sql::script(&mut conn, "the batch that was held", batch, PATIENCE).await?;
    let one = conn.exec_first("SELECT ?", (1,)).await;
    Ok(one.expect("a session like any other"))
}

/// A long COM_QUERY.
fn query(len: usize) -> Vec<u8> {
    let mut payload = b"\x03SELECT 1".to_vec();
    payload.resize(len, b' ');
    payload
}

fn server_error<T>(answer: std::result::Result<T, Error>) -> ServerError {
    match answer {
        Err(Error::Server(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("this should have failed"),
    }
}

const HOLD: Duration = Duration::from_secs(1);

/// How long something that needs milliseconds may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// For what waits until a server has started.
const PATIENCE: Duration = Duration::from_secs(60);

/// In KiB. Each of 50 clients has sent 15 MiB as far as anybody took it.
const MOST_MEMORY: u64 = 100 * 1024;
