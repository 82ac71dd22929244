//! How the proxy ends, and starts again: a package upgrade on a Tuesday afternoon.

use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::part::Part;
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::raw::{Heard, Raw};
use lab::run::Run;
use lab::wait::{Look, wait_until};
use lab::{Result, sql};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::net::{TcpStream, UnixStream};

/// Icinga loses what it has not committed. So whoever is in a transaction may end it; everybody else goes
/// at once, and nobody new comes in.
#[tokio::test]
async fn sigterm_waits_for_open_transactions_and_for_nothing_else() -> Result<()> {
    let stage = Stage::set(|spec| spec.set("failover.drain", "60s")).await?;
    let mut idle = stage.proxy.connect().await?;
    let _silent = TcpStream::connect(stage.proxy.tcp()).await.expect("it listens");
    let mut writing = stage.proxy.connect().await?;
    let begin = "BEGIN; INSERT INTO story VALUES (1)";
    sql::script(&mut writing, "a transaction", begin, SOON).await?;
    let mut asking = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
    asking.command(b"\x03SELECT SLEEP(2)").await?;
    stage.busy().await?;
    let socket = stage.proxy.socket().to_owned();

    let begun = Instant::now();
    let (ended, told) = tokio::join!(stage.proxy.part().term(), async {
        stage.proxy.part().says("ending: no new clients", 1, SOON).await?;
        assert!(refuses(stage.proxy.tcp(), stage.proxy.part()).await?, "TCP is closed");
        assert!(!socket.exists() && UnixStream::connect(&socket).await.is_err());
        closed(&mut idle).await?;

        let more = "INSERT INTO story VALUES (2); COMMIT";
        sql::script(&mut writing, "the rest of it", more, SOON).await?;
        closed(&mut writing).await?;

        // Column count, column, EOF, row, EOF: the query ran when the signal came, and ran to its end.
        let mut last = asking.hear().await?;
        for _ in 1..5 {
            assert_eq!(last.error(), None);
            last = asking.hear().await?;
        }
        assert!(matches!(&last, Heard::Packet(5, payload) if payload[0] == 0xFE), "{last:?}");
        assert_eq!(asking.hear().await?, Heard::Closed);
        Ok::<_, lab::LabError>(())
    });
    told?;
    ended?;
    // The silent one would have had ten seconds for its login.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(stage.rows().await?, 2, "what was committed stands");
    Ok(())
}

/// A forgotten transaction must not keep the machine from shutting down.
#[tokio::test]
async fn a_transaction_that_does_not_end_is_closed_in_time_and_named() -> Result<()> {
    let stage = Stage::set(|spec| spec.set("failover.drain", "1s")).await?;
    let mut forgotten = stage.proxy.connect().await?;
    let begin = "BEGIN; INSERT INTO story VALUES (1)";
    sql::script(&mut forgotten, "a transaction", begin, SOON).await?;
    let mut endless = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
    endless.command(b"\x03SELECT SLEEP(600)").await?;
    stage.busy().await?;
    let (ended, took) = timed(stage.proxy.part().term()).await;
    ended?;
    assert!((DRAIN..DRAIN * 10).contains(&took), "{took:?}");
    let told = endless.hear().await?.error().expect("its query has no reply");
    assert_eq!((told.code, told.sql_state), (1053, *b"08S01"), "{told}");
    closed(&mut forgotten).await?;
    assert_eq!(stage.proxy.part().said("did not come to an end in time"), 2);
    stage.server.links("icinga", 0, SOON).await?;
    assert_eq!(stage.rows().await?, 0, "what was not committed is rolled back");
    Ok(())
}

/// Nobody in a transaction, nothing to wait for: a restart is a matter of milliseconds.
#[tokio::test]
async fn a_restart_with_idle_clients_is_quick() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(stage.proxy.connect().await?);
    }
    for _ in 0..3 {
        let (ended, took) = timed(stage.proxy.part().term()).await;
        ended?;
        assert!(took < Duration::from_secs(3), "{took:?}");
        stage.proxy.launch().await?;
        let one: u8 = sql::value(&mut stage.proxy.connect().await?, "SELECT 1").await?;
        assert_eq!(one, 1);
    }
    for conn in &mut idle {
        closed(conn).await?;
    }
    stage.proxy.part().term().await
}

/// After a crash the socket's file is still there, and must not keep the proxy down.
#[tokio::test]
async fn a_crash_leaves_nothing_that_hinders_the_next_start() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let mut writing = stage.proxy.connect().await?;
    let begin = "BEGIN; INSERT INTO story VALUES (1)";
    sql::script(&mut writing, "a transaction", begin, SOON).await?;
    stage.proxy.part().kill().await?;
    assert!(stage.proxy.socket().exists(), "nobody was left to remove it");
    stage.proxy.launch().await?;
    sql::connect(stage.proxy.socket_account()).await?;
    stage.server.links("icinga", 0, SOON).await?;
    assert_eq!(stage.rows().await?, 0);
    stage.proxy.part().term().await
}

/// MariaDB's own server listens where the proxy is to listen, or the proxy runs twice: whoever finds out
/// needs to know who is in the way.
#[tokio::test]
async fn an_address_that_is_taken_stops_the_start_and_its_holder_is_named() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let first = stage.proxy.part();
    let socket = stage.proxy.socket().display().to_string();
    let tcp = stage.proxy.tcp().to_string();
    let holder = format!("ido-proxy (pid {})", first.id().expect("it runs"));

    let of_server = stage.server.socket().display().to_string();
    let server = format!("mariadbd (pid {})", stage.server.part().id().expect("it runs"));
    let precious = stage.run.data("precious");
    std::fs::write(&precious, "data").expect("the lab's folder can be written");
    let file = precious.display().to_string();
    for (taken, words) in [
        (&socket, format!("cannot listen on {socket}: in use by {holder}")),
        (&tcp, format!("cannot listen on {tcp}: in use by {holder}")),
        (&of_server, format!("cannot listen on {of_server}: in use by {server}")),
        (&file, format!("cannot listen on {file}: a file that is not a socket is in the way")),
    ] {
        let mut spec = ProxySpec::single(&[stage.server.address()]);
        spec = spec.set("listen.addresses", vec![taken.clone()]);
        spec.index = 2;
        let second = Proxy::prepare(&stage.run, &spec).await?;
        second.part().launch()?;
        let ended = second.part().exit(SOON).await?;
        assert_eq!(ended.code(), Some(1), "{taken}");
        let said = second.part().said(&format!("{words} (listen.addresses)"));
        assert_eq!(said, 1, "no {words:?} in {}", second.part().log().display());
    }
    assert_eq!(std::fs::read_to_string(&precious).expect("still there"), "data");
    // The first was not disturbed, and its socket is still its own.
    sql::connect(stage.proxy.socket_account()).await?;
    stage.server.connect().await?;
    assert!(Path::new(&of_server).exists());
    // A file of a socket that nobody serves is no obstacle.
    drop(UnixListener::bind(stage.run.data("stale")).expect("the folder is there"));
    first.term().await
}

/// Clients that wait for a primary while the proxy ends are told that it ends, and do not delay it.
#[tokio::test]
async fn held_clients_are_told_of_the_end() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let mut lost = stage.proxy.connect().await?;
    stage.server.part().kill().await?;
    stage.proxy.part().says("link lost", 1, SOON).await?;
    let mut new = stage.proxy.connect().await?;
    let (told_lost, told_new, ended) =
        tokio::join!(lost.query_drop("SELECT 1"), new.query_drop("SELECT 1"), async {
            stage.proxy.part().says("held: no usable primary", 2, SOON).await?;
            timed(stage.proxy.part().term()).await.0
        });
    ended?;
    for told in [told_lost, told_new] {
        match told {
            Err(Error::Server(error)) => {
                assert_eq!((error.code, error.state.as_str()), (1053, "08S01"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

/// A server, a proxy before it, and a table.
struct Stage {
    proxy: Proxy,
    server: Plain,
    run: Arc<Run>,
}

impl Stage {
    async fn set(change: impl FnOnce(ProxySpec) -> ProxySpec) -> Result<Self> {
        let run = Arc::new(Run::begin()?);
        let server = Plain::start(&run, &[]).await?;
        let spec = change(ProxySpec::single(&[server.address()]));
        let proxy = Proxy::start_single(&run, &server, &spec).await?;
        let mut root = server.connect().await?;
        let table = "CREATE TABLE icinga.story (id INT PRIMARY KEY) ENGINE=InnoDB";
        sql::script(&mut root, "a table", table, SOON).await?;
        Ok(Self { proxy, server, run })
    }

    async fn rows(&self) -> Result<u64> {
        sql::value(&mut self.server.connect().await?, "SELECT COUNT(*) FROM icinga.story").await
    }

    /// Waits until a client's command is under way.
    async fn busy(&self) -> Result<()> {
        wait_until("a busy session", SOON, Some(&self.proxy.part().log()), async || {
            let status = self.proxy.status().await.unwrap_or_default();
            let sessions = status["sessions"].as_array().cloned().unwrap_or_default();
            match sessions.iter().any(|session| session["state"] == "busy") {
                true => Look::Done(()),
                false => self.proxy.part().look("none"),
            }
        })
        .await
    }
}

/// Waits until nobody listens there any more.
async fn refuses(address: SocketAddr, part: &Part) -> Result<bool> {
    wait_until("a closed port", SOON, Some(&part.log()), async || {
        match TcpStream::connect(address).await {
            Err(_) => Look::Done(true),
            Ok(_) => Look::NotYet("it takes connections".into()),
        }
    })
    .await
}

/// Waits until the connection turns out to be closed. Asks nothing that would change anything.
async fn closed(conn: &mut Conn) -> Result<()> {
    wait_until("a closed connection", SOON, None, async || match conn.ping().await {
        Err(_) => Look::Done(()),
        Ok(()) => Look::NotYet("it is open".into()),
    })
    .await
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (work.await, begun.elapsed())
}

const DRAIN: Duration = Duration::from_secs(1);

/// How long something that needs milliseconds may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
