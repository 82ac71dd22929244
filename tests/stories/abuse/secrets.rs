//! Secrets that nobody may read in the log, however much is logged.

use ido_proxy_protocol::packet::HEADER_LEN;
use lab::{Result, sql};
use mysql_async::Conn;
use toml::{Table, Value};

use super::{SOON, Stage};

/// Logs are mailed, pasted into tickets, and collected on machines that are guarded less.
#[tokio::test]
async fn no_secret_appears_in_the_log_or_on_the_pages_even_at_trace_level() -> Result<()> {
    let stage = Stage::set(|spec| {
        spec.set("logs.level", "trace").set("monitor.password", MONITORS).set("users", users())
    })
    .await?;
    let account = |password| stage.proxy.tcp_account().user(Some("guarded")).pass(Some(password));
    let mut conn = sql::connect(account(USERS).db_name(None::<String>)).await?;
    let statements = format!("SET @a = '{STATEMENTS}'; SELECT '{STATEMENTS}' FROM nowhere.absent");
    sql::script(&mut conn, "", &statements, SOON).await.expect_err("there is no such table");
    let grammar = format!("SET PASSWORD = BROKEN('{STATEMENTS}')");
    sql::script(&mut conn, "", &grammar, SOON).await.expect_err("that is no SQL");
    Conn::new(account(WRONG)).await.expect_err("a wrong password");
    Conn::new(account(USERS).db_name(Some("absent"))).await.expect_err("no such database");
    let mut raw = lab::raw::Raw::connect(stage.proxy.tcp()).await?;
    raw.hear().await?;
    raw.say(&[&[200, 0, 0, 1][..HEADER_LEN], &[b'x'; 100], STATEMENTS.as_bytes()].concat()).await?;
    drop(raw);
    drop(conn);
    stage.proxy.part().says("closed during login", 1, SOON).await?;

    let mut places = vec![std::fs::read_to_string(stage.proxy.part().log()).expect("it logs")];
    assert!(places[0].contains("TRACE") || places[0].contains("DEBUG"), "it says little");
    for page in ["/status", "/metrics", "/health", "/"] {
        places.push(stage.proxy.get(page).await?.body);
    }
    for secret in [MONITORS, USERS, WRONG, STATEMENTS] {
        for place in &places {
            let line = place.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} is there to be read");
        }
    }
    stage.unharmed().await
}

fn users() -> Value {
    let user = |name: &str, password: &str| {
        let keys = [("name", name), ("password", password)];
        let table: Table =
            keys.map(|(key, value)| (key.into(), value.into())).into_iter().collect();
        Value::Table(table)
    };
    Value::Array(vec![user("icinga", "icinga"), user("guarded", USERS)])
}

const MONITORS: &str = "monitors-pw-QXJ";
const USERS: &str = "users-pw-ZKV";
const WRONG: &str = "wrong-pw-WYF";
const STATEMENTS: &str = "statements-pw-HGB";
