//! Broken, hostile and unlucky clients. Each gets a correct error or a close, and a line in the log;
//! the process lives, its memory stays bounded, and nobody else notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ido_proxy_protocol::auth::client::ClientLoginStep;
use ido_proxy_protocol::err::ErrPacket;
use ido_proxy_protocol::packet::{HEADER_LEN, MAX_PAYLOAD, frame};
use lab::plain::Plain;
use lab::proxy::{MONITOR, Proxy, ProxySpec};
use lab::raw::{Heard, Raw, login};
use lab::run::Run;
use lab::wait::{Look, wait_until};
use lab::{Result, sql};
use mysql_async::{Conn, Error};

mod bystander;
mod crowd;
mod secrets;

use self::bystander::Bystander;

/// A port scanner, a web browser, a monitoring plugin for another protocol, a fuzzer.
#[tokio::test]
async fn nonsense_before_the_login_ends_one_connection_and_no_other() -> Result<()> {
    let stage = Stage::set(|spec| spec.set("listen.login_timeout", "1s")).await?;
    let right = login_packet(&stage).await?;
    let mut nonsense: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
        b"\0\0\0\x01".to_vec(),
        vec![0xFF; 1000],
        // An oversized login: whole, and merely announced.
        framed(&[b'x'; 100_000]),
        [&[0xFE, 0xFF, 0xFF, 1][..], b"icinga"].concat(),
        [&[0xFF, 0xFF, 0xFF, 1][..], b"icinga"].concat(),
    ];
    // The right login, cut short after each byte up to the end of the password's proof; what comes
    // after that may be left out.
    let mandatory = 32 + "icinga".len() + 1 + 1 + 20;
    nonsense.extend((0..mandatory).map(|len| framed(&right[..len])));
    // Random bytes in a well-formed packet.
    let mut random = Random(1);
    nonsense.extend((0..100).map(|_| framed(&random.bytes(200))));

    for bytes in &nonsense {
        let mut client = Raw::connect(stage.proxy.tcp()).await?;
        client.hear().await?;
        client.say(bytes).await?;
        let errors = client.end().await?;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        for error in &errors {
            let codes = [ACCESS_DENIED, BAD_HANDSHAKE];
            assert!(codes.contains(&error.code), "{shown:?} was answered with {error}");
        }
        assert!(errors.len() <= 1, "{shown:?} was answered with {errors:?}");
    }
    // Random bytes may happen to be a login of a user that nobody knows, and what begins like a long
    // packet is waited for.
    let proxy = stage.proxy.part();
    let words = ["login broke the protocol", "login refused", "no complete login in time"];
    let refused = async || match words.iter().map(|words| proxy.said(words)).sum::<usize>() {
        said if said >= nonsense.len() => Look::Done(()),
        said => proxy.look(format!("{said} of {}", nonsense.len())),
    };
    wait_until("a line in the log for each", SOON, Some(&proxy.log()), refused).await?;
    stage.unharmed().await
}

/// A client that hangs in its login must not keep its seat for ever.
#[tokio::test]
async fn half_a_login_and_then_silence_is_closed_in_time() -> Result<()> {
    let stage = Stage::set(|spec| spec.set("listen.login_timeout", "500ms")).await?;
    let right = framed(&login_packet(&stage).await?);
    let parts = [0, 1, HEADER_LEN, HEADER_LEN + 1, right.len() / 2, right.len() - 1];
    for part in parts {
        let mut client = Raw::connect(stage.proxy.tcp()).await?;
        client.hear().await?;
        client.say(&right[..part]).await?;
        assert_eq!(client.end().await?, [], "there is nobody to tell");
    }
    stage.proxy.part().says("no complete login in time", parts.len(), SOON).await?;
    // Without a word it is a port check, or a client that died.
    drop(Raw::connect(stage.proxy.tcp()).await?);
    stage.unharmed().await
}

/// A wrong password must read as the server's own refusal, or people look for the fault elsewhere; and
/// it must not tell which names exist.
#[tokio::test]
async fn a_refused_login_is_refused_in_the_servers_own_words() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let long = "x".repeat(30_000);
    let attempts = [
        ("icinga", "wrong"),
        ("icinga", ""),
        ("nobody", "wrong"),
        ("nobody", ""),
        ("nobody\nforged line", "x"),
        (&long, "x"),
    ];
    for (user, password) in attempts {
        let at = async |address| match Conn::new(sql::account(address, user, password)).await {
            Err(Error::Server(error)) => (error.code, error.state, error.message),
            other => panic!("{user} by {password:?}: {other:?}"),
        };
        let directly = at(stage.server.address()).await;
        let through = at(stage.proxy.tcp()).await;
        assert_eq!((through.0, &*through.1), (ACCESS_DENIED, "28000"));
        assert_eq!(through, directly);
    }
    stage.proxy.part().says("login refused", attempts.len(), SOON).await?;
    let log = std::fs::read_to_string(stage.proxy.part().log()).expect("it logs");
    assert!(log.lines().all(|line| !line.starts_with("forged")), "a client writes log lines");
    assert!(log.lines().all(|line| line.len() < 1000), "a client fills the disk");
    stage.unharmed().await
}

/// A client with a broken library says things that make no sense, after a login that did.
#[tokio::test]
async fn nonsense_after_the_login_is_answered_as_the_server_answers_it() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    for byte in (0..=255_u8).filter(|byte| !DIFFERENT.contains(byte)) {
        for payload in [vec![byte], [vec![byte], vec![0xA5; 40]].concat()] {
            let through = answer(stage.proxy.tcp(), &payload).await?;
            if let Answer::Error(error) = &through
                && error.message.starts_with(b"ido-proxy does not carry COM_")
            {
                assert_eq!(error.code, 1235, "replication, refused in words of our own");
                continue;
            }
            let directly = answer(stage.server.address(), &payload).await?;
            assert_eq!(through, directly, "the answer to {payload:02x?}");
        }
    }
    let empty = answer(stage.proxy.tcp(), &[]).await?;
    assert_eq!(empty, answer(stage.server.address(), &[]).await?, "the answer to an empty packet");

    let mut random = Random(2);
    for _ in 0..100 {
        let mut client = Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await?;
        let bytes = random.bytes(2000);
        // The proxy may close before it has heard it all.
        let _ = client.say(&bytes).await;
        client.vanish()?;
    }
    stage.unharmed().await
}

/// Laptops sleep, scripts are killed, cables are pulled: nothing of such a client may stay behind, least
/// of all its locks.
#[tokio::test]
async fn clients_that_vanish_leave_nothing_behind() -> Result<()> {
    let stage = Stage::set(|spec| spec.set("listen.login_timeout", "2s")).await?;
    let mut root = stage.server.connect().await?;
    let table = "CREATE TABLE icinga.story (id INT PRIMARY KEY) ENGINE=InnoDB";
    sql::script(&mut root, "a table", table, SOON).await?;
    let right = framed(&login_packet(&stage).await?);
    for round in 0..20 {
        let connect = async || Raw::connect(stage.proxy.tcp()).await;
        let log_in = async || Raw::log_in(stage.proxy.tcp(), "icinga", "icinga").await;
        connect().await?.vanish()?;

        let mut greeted = connect().await?;
        greeted.hear().await?;
        greeted.vanish()?;

        let mut half = connect().await?;
        half.hear().await?;
        half.say(&right[..right.len() / 2]).await?;
        half.vanish()?;

        let mut unanswered = connect().await?;
        unanswered.hear().await?;
        unanswered.say(&right).await?;
        unanswered.vanish()?;

        log_in().await?.vanish()?;

        let mut half_a_command = log_in().await?;
        half_a_command.say(b"\x40\0\0\0\x03SELECT").await?;
        half_a_command.vanish()?;

        let mut waiting = log_in().await?;
        waiting.command(b"\x03SELECT SLEEP(60)").await?;
        waiting.vanish()?;

        let mut reading = log_in().await?;
        reading.command(b"\x03SELECT REPEAT('x', 10000000) FROM seq_1_to_100").await?;
        reading.hear().await?;
        reading.vanish()?;

        let mut uploading = log_in().await?;
        uploading.command(b"\x03LOAD DATA LOCAL INFILE 'x' INTO TABLE icinga.story").await?;
        uploading.hear().await?;
        uploading.say(b"\x10\0\0\x021\n2\n3").await?;
        uploading.vanish()?;

        let mut writing = log_in().await?;
        let write = format!("\x03BEGIN; INSERT INTO icinga.story VALUES ({round})");
        writing.command(write.as_bytes()).await?;
        for _ in 0..2 {
            assert_eq!(writing.hear().await?.error(), None);
        }
        writing.vanish()?;
    }
    stage.only_the_bystander_is_left().await?;
    let left: u64 = sql::value(&mut root, "SELECT COUNT(*) FROM icinga.story").await?;
    assert_eq!(left, 0, "what was not committed is rolled back");
    let lock = "SET innodb_lock_wait_timeout = 1; INSERT INTO icinga.story VALUES (1)";
    sql::script(&mut root, "a row that nobody holds", lock, SOON).await?;
    stage.unharmed().await
}

/// Scanners try every port, the proxy's own console and status page among them.
#[tokio::test]
async fn nonsense_at_the_console_and_the_status_page_harms_nobody() -> Result<()> {
    let stage = Stage::set(|spec| spec).await?;
    let mut random = Random(3);
    for address in [stage.proxy.console(), stage.proxy.http()] {
        for round in 0..50 {
            let mut client = Raw::connect(address).await?;
            let bytes = match round % 3 {
                0 => random.bytes(2000),
                1 => framed(&random.bytes(200)),
                _ => framed(b"\x85\xa6\x03\0\0\0\0\x01\x21forged\nline\0\0"),
            };
            // The console or the page may close before it has heard it all.
            let _ = client.say(&bytes).await;
            client.vanish()?;
        }
    }
    for user in ["nobody\nforged line", "icinga"] {
        // Those who vanished may still have the console's few places for a moment.
        wait_until("a refusal by name", SOON, Some(&stage.proxy.part().log()), async || {
            match Conn::new(sql::account(stage.proxy.console(), user, "x")).await {
                Err(Error::Server(error)) if error.state == "28000" => Look::Done(()),
                Ok(_) => Look::Never("let in: the console is the monitor's".into()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await?;
    }
    stage.proxy.part().says("console login refused", 2, SOON).await?;
    let log = std::fs::read_to_string(stage.proxy.part().log()).expect("it logs");
    assert!(log.lines().all(|line| !line.starts_with("forged")), "a client writes log lines");

    let monitor = sql::account(stage.proxy.console(), MONITOR, MONITOR);
    let mut console = sql::connect(monitor).await?;
    let nodes: Vec<mysql_async::Row> = sql::rows(&mut console, "SHOW NODES").await?;
    assert_eq!(nodes.len(), 1);
    assert_eq!(stage.proxy.get("/health").await?.status, 200);
    stage.unharmed().await
}

/// A server, a proxy before it, and somebody who works through it all the time.
struct Stage {
    bystander: Bystander,
    proxy: Proxy,
    server: Plain,
    _run: Arc<Run>,
}

impl Stage {
    async fn set(change: impl FnOnce(ProxySpec) -> ProxySpec) -> Result<Self> {
        let run = Arc::new(Run::begin()?);
        let server = Plain::start(&run, &[]).await?;
        let spec = change(ProxySpec::single(&[server.address()]));
        let proxy = Proxy::start_single(&run, &server, &spec).await?;
        let bystander = Bystander::begin(proxy.tcp_account().into()).await?;
        Ok(Self { bystander, proxy, server, _run: run })
    }

    /// The bystander was served throughout, and the process is the one that was started, as small as
    /// one may expect.
    async fn unharmed(self) -> Result<()> {
        let longest = self.bystander.end()?;
        let peak = self.proxy.part().peak_memory()?;
        eprintln!("longest wait {longest:?}, peak memory {peak} KiB");
        assert!(longest < NOTICED, "somebody else waited for {longest:?}");
        assert!(peak < MOST_MEMORY, "{peak} KiB");
        assert_eq!(self.proxy.part().said("panicked"), 0, "{}", self.proxy.part().log().display());
        self.proxy.part().term().await
    }

    /// Waits until proxy and server have let go of everybody else.
    async fn only_the_bystander_is_left(&self) -> Result<()> {
        self.server.links("icinga", 1, SOON).await?;
        wait_until("one session", SOON, Some(&self.proxy.part().log()), async || {
            let status = self.proxy.status().await;
            match status.map(|status| status["sessions"].as_array().map_or(0, Vec::len)) {
                Ok(1) => Look::Done(()),
                seen => self.proxy.part().look(format!("{seen:?}")),
            }
        })
        .await
    }
}

/// The payload with which Icinga's account would log in on some connection.
async fn login_packet(stage: &Stage) -> Result<Vec<u8>> {
    let mut client = Raw::connect(stage.proxy.tcp()).await?;
    let Heard::Packet(sequence, greeting) = client.hear().await? else {
        panic!("closed instead of greeted")
    };
    match login("icinga", "icinga").on_packet(sequence, &greeting) {
        Ok(ClientLoginStep::Send(bytes)) => Ok(bytes[HEADER_LEN..].to_vec()),
        other => panic!("no login: {other:?}"),
    }
}

/// The answer that a fresh session gets to one command: an error, another packet, or the end.
async fn answer(server: SocketAddr, payload: &[u8]) -> Result<Answer> {
    let mut client = Raw::log_in(server, "icinga", "icinga").await?;
    client.command(payload).await?;
    // A ping behind it is answered where the command has no reply of its own.
    client.command(b"\x0e").await?;
    Ok(match client.hear().await? {
        Heard::Closed => Answer::Closed,
        heard => match heard.error() {
            Some(error) => Answer::Error(error),
            None => Answer::Other,
        },
    })
}

#[derive(Debug, PartialEq)]
enum Answer {
    Closed,
    Error(ErrPacket),
    Other,
}

/// One packet, as the second of a login.
fn framed(payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < MAX_PAYLOAD);
    let mut bytes = Vec::new();
    frame(payload, 1, &mut bytes);
    bytes
}

/// Random bytes that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = 1 + self.next() % most;
        (0..len).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Not compared with the server's: COM_QUIT and COM_SHUTDOWN, and COM_CHANGE_USER, where each says in its
/// own words what is malformed.
const DIFFERENT: [u8; 3] = [0x01, 0x08, 0x11];

const ACCESS_DENIED: u16 = 1045;
const BAD_HANDSHAKE: u16 = 1043;

/// How long something that needs milliseconds may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A wait that somebody else would notice, on a machine with two cores that runs other stories too.
const NOTICED: Duration = Duration::from_secs(3);

/// In KiB. The binary that the stories use is not optimized, and large.
const MOST_MEMORY: u64 = 100 * 1024;
