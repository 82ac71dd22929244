//! `ido-proxy setup | mariadb`, on a real server.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;
use lab::tool::run_tool;
use lab::{Result, sql};
use mysql_async::{Conn, Error};
use toml::{Table, Value};

/// The one step that touches the database: it must do what it says, do no more when it is done again, and
/// keep the passwords to itself.
#[tokio::test]
async fn setup_prepares_a_server_and_may_be_run_again() -> Result<()> {
    let run = Arc::new(Run::begin()?);
    let server = Plain::start(&run, &[]).await?;
    let spec = ProxySpec::single(&[server.address()])
        .set("monitor.password", AWKWARD)
        .set("users", Value::Array(vec![user("icinga", "not-the-servers"), user(NAME, AWKWARD)]));
    let proxy = Proxy::prepare(&run, &spec).await?;
    let script = proxy.tool(&["setup"]).await?;
    assert!(!script.contains(AWKWARD) && !script.contains("not-the-servers"), "{script}");

    let mut root = server.connect().await?;
    mariadb(&server, &script).await?;
    let first = state(&mut root).await?;
    mariadb(&server, &script).await?;
    assert_eq!(state(&mut root).await?, first, "the second time changes nothing");

    // Accounts that were there stay: Icinga's has the password it had.
    sql::connect(sql::account(server.address(), "icinga", "icinga")).await?;
    proxy.launch().await?;
    let through = sql::account(proxy.tcp(), NAME, AWKWARD);
    let mut conn = sql::connect(through).await?;
    let fence = "INSERT INTO ido_proxy.fence VALUES ('story', 1);
        UPDATE ido_proxy.fence SET seq = 2 WHERE session = 'story' AND seq = 1;
        DELETE FROM ido_proxy.fence WHERE session = 'story'";
    sql::script(&mut conn, "a client's fence", fence, SOON).await?;
    let pin = "UPDATE ido_proxy.pin SET epoch = epoch + 1";
    denied(&mut conn, pin).await;

    let mut monitor = sql::connect(sql::account(server.address(), "ido_proxy", AWKWARD)).await?;
    let insert =
        "INSERT INTO ido_proxy.pin (cluster, node, epoch, reason, `by`) VALUES ('', '', 1, '', '')";
    sql::script(&mut monitor, "the monitor's pin", insert, SOON).await?;
    sql::script(&mut monitor, "the monitor's pin", pin, SOON).await?;
    denied(&mut monitor, "SELECT * FROM icinga.icinga_hosts").await;

    // Icinga's password in the configuration is not the server's: the client is told, not held.
    let refused = Conn::new(sql::account(proxy.tcp(), "icinga", "not-the-servers")).await;
    assert!(matches!(&refused, Err(Error::Server(error)) if error.code == 1045), "{refused:?}");
    proxy.part().term().await
}

/// Accounts for one network only, as careful administrators have them.
#[tokio::test]
async fn setup_takes_the_hosts_that_accounts_are_for() -> Result<()> {
    let run = Arc::new(Run::begin()?);
    let server = Plain::start(&run, &[]).await?;
    let proxy = Proxy::prepare(&run, &ProxySpec::single(&[server.address()])).await?;
    mariadb(&server, &proxy.tool(&["setup", "--host", "127.0.0.%"]).await?).await?;
    let mut root = server.connect().await?;
    let hosts = "SELECT GROUP_CONCAT(DISTINCT host) FROM mysql.user WHERE user = 'ido_proxy'";
    let hosts: String = sql::value(&mut root, hosts).await?;
    assert_eq!(hosts, "127.0.0.%");
    proxy.launch().await?;
    proxy.part().term().await
}

/// Runs a script as an administrator does.
async fn mariadb(server: &Plain, script: &str) -> Result<()> {
    let socket = format!("--socket={}", server.socket().display());
    let arguments = ["--no-defaults", "--user=root", &socket].map(OsStr::new);
    run_tool("mariadb", &arguments, script.as_bytes()).await.map(drop)
}

/// Everything that setup might change.
async fn state(root: &mut Conn) -> Result<Vec<String>> {
    let mut state = Vec::new();
    for what in [
        "SELECT CONCAT(user, '@', host, ' ', priv) FROM mysql.global_priv ORDER BY 1",
        "SELECT CONCAT_WS(' ', user, host, db, table_name, table_priv) FROM mysql.tables_priv ORDER BY 1",
        "SELECT CONCAT_WS(' ', user, host, db) FROM mysql.db ORDER BY 1",
        "SELECT CONCAT_WS(' ', table_schema, table_name, create_time) FROM information_schema.tables
         WHERE table_schema = 'ido_proxy' ORDER BY 1",
    ] {
        state.extend(sql::rows::<String>(root, what).await?);
    }
    assert!(state.iter().any(|line| line.starts_with("ido_proxy fence ")), "{state:?}");
    Ok(state)
}

async fn denied(conn: &mut Conn, statement: &str) {
    let error = sql::script(conn, "", statement, SOON).await.expect_err("that is not its business");
    assert!(error.to_string().contains("1142"), "{error}");
}

fn user(name: &str, password: &str) -> Value {
    let keys = [("name", name), ("password", password)];
    Value::Table(keys.map(|(key, value)| (key.into(), value.into())).into_iter().collect::<Table>())
}

/// Name and password with characters that quoting gets wrong.
const NAME: &str = "o'br\"ie`n\\ü%";
const AWKWARD: &str = "p'a\"s`s\\n%w;-- ö";

const SOON: Duration = Duration::from_secs(20);
