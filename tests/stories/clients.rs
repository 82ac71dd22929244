//! Ordinary client programs see no difference between a server and the proxy before it.
//!
//! Each client plays one script twice, directly and through the proxy, over TCP and over a Unix socket.
//! The transcripts must be equal to the byte: results, column descriptions, error codes and texts. Each
//! script checks by itself what can be known beforehand, and ends with "done".

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lab::error::Context;
use lab::number::lab_folder;
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;
use lab::tool::{found, run_tool};
use lab::{LabError, Result, sql};
use toml::Value;

mod native;

/// Icinga Web, Grafana and an administrator's scripts are such clients, beside Icinga itself.
#[tokio::test]
async fn python_with_pymysql() -> Result<()> {
    plays(async |place| tool(PYTHON, &[&script("dbapi.py"), "pymysql"], place).await).await
}

/// The C client library, which Icinga uses too, with the commands that only it knows.
#[tokio::test]
async fn python_with_mysqlclient() -> Result<()> {
    plays(async |place| tool(PYTHON, &[&script("dbapi.py"), "MySQLdb"], place).await).await
}

/// Icinga Web is written in PHP.
#[tokio::test]
async fn php_with_pdo_and_mysqli() -> Result<()> {
    plays(async |place| tool("php", &[&script("client.php")], place).await).await
}

/// Icinga DB is written in Go.
#[tokio::test]
async fn go_with_its_own_driver() -> Result<()> {
    let program = build_go(&["build", &script("client.go")]).await?;
    let played = plays(async |place| tool(&program, &[], place).await).await;
    fs::remove_file(program).expect("it was there to be run");
    played
}

/// The driver's makers know best what can go wrong with it: their own tests come to the same verdicts.
#[tokio::test]
async fn the_own_tests_of_the_go_driver() -> Result<()> {
    let program = build_go(&["test", "-c", "github.com/go-sql-driver/mysql"]).await?;
    let played = plays(async |place| go_tests(&program, place).await).await;
    fs::remove_file(program).expect("it was there to be run");
    played
}

/// The library of most Rust programs, and of this project itself.
#[tokio::test]
async fn rust_with_mysql_async() -> Result<()> {
    plays(native::play).await
}

/// The tool that an administrator types into.
#[tokio::test]
async fn mariadbs_command_line() -> Result<()> {
    plays(command_line).await
}

/// A way to the database.
pub(crate) struct Place {
    /// TCP or a Unix socket.
    pub(crate) way: Way,
    /// A file with three rows for LOAD DATA LOCAL.
    pub(crate) infile: PathBuf,
}

/// An address to connect to.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

impl Way {
    fn arguments(&self) -> [String; 2] {
        match self {
            Self::Tcp(address) => ["tcp".into(), address.to_string()],
            Self::Socket(path) => ["socket".into(), path.display().to_string()],
        }
    }
}

/// Lets a client play directly and through the proxy, by each way, and compares.
async fn plays(play: impl AsyncFn(Place) -> Result<String>) -> Result<()> {
    let run = Arc::new(Run::begin()?);
    let arguments = ["--max-allowed-packet=64M", ENGLISH, NO_TLS];
    let server = Plain::start(&run, &arguments).await?;
    let spec = ProxySpec::single(&[server.address()]).set("users", users());
    let proxy = Proxy::start_single(&run, &server, &spec).await?;
    let infile = run.data("rows.tsv");
    fs::write(&infile, ROWS).expect("the lab's folder can be written");
    let ways = [
        (Way::Tcp(server.address()), Way::Tcp(proxy.tcp())),
        (Way::Socket(server.socket().into()), Way::Socket(proxy.socket().into())),
    ];
    for (direct, proxied) in ways {
        let what = format!("{proxied:?}");
        let place = |way| Place { way, infile: infile.clone() };
        begin_anew(&server).await?;
        let expected = in_time(play(place(direct))).await?;
        assert_eq!(expected.lines().last(), Some("done"), "it was cut short");
        begin_anew(&server).await?;
        let transcript = in_time(play(place(proxied))).await?;
        assert_same(&expected, &transcript, &what);
    }
    proxy.part().term().await
}

/// Empties the database, so that both plays begin alike.
async fn begin_anew(server: &Plain) -> Result<()> {
    let mut root = server.connect().await?;
    sql::script(&mut root, "an empty database", EMPTY, Duration::from_secs(10)).await?;
    root.disconnect().await.context(|| "leaving".into())
}

async fn in_time(play: impl Future<Output = Result<String>>) -> Result<String> {
    match tokio::time::timeout(PLAY, play).await {
        Ok(played) => played,
        Err(_) => Err(LabError::Refused(format!("the client did not end within {PLAY:?}"))),
    }
}

/// The first difference, with what stands around it: whole transcripts fill screens.
fn assert_same(expected: &str, found: &str, place: &str) {
    if expected == found {
        return;
    }
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(one, other)| one == other).count();
    let show = |lines: &[&str]| {
        let shown = lines.iter().skip(same.saturating_sub(8)).take(12);
        shown.map(|line| line.chars().take(200).collect::<String>()).collect::<Vec<_>>().join("\n")
    };
    panic!(
        "{place}: line {} differs. Directly:\n{}\n\nThrough the proxy:\n{}",
        same + 1,
        show(&expected),
        show(&found)
    );
}

/// Runs a client program with the place at the end of its arguments.
async fn tool(program: &str, arguments: &[&str], place: Place) -> Result<String> {
    let [way, address] = place.way.arguments();
    let infile = place.infile.display().to_string();
    let arguments: Vec<&OsStr> = arguments
        .iter()
        .copied()
        .chain([&*way, &address, DATABASE, &infile])
        .map(OsStr::new)
        .collect();
    let output = run_tool(program, &arguments, b"").await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// One line a test: its verdict and name. Some fail against any server of today.
async fn go_tests(program: &str, place: Place) -> Result<String> {
    let (network, address) = match &place.way {
        Way::Tcp(address) => ("tcp", address.to_string()),
        Way::Socket(path) => ("unix", path.display().to_string()),
    };
    let environment = [
        "MYSQL_TEST_USER=icinga".to_owned(),
        "MYSQL_TEST_PASS=icinga".to_owned(),
        format!("MYSQL_TEST_DBNAME={DATABASE}"),
        format!("MYSQL_TEST_PROT={network}"),
        format!("MYSQL_TEST_ADDR={address}"),
    ];
    // One leaves this machine, and the others measure time. That some fail makes a failure of it all.
    let tests = format!(
        "tests=$('{program}' -test.list . | grep ^Test | grep -v '{LEFT_OUT}' | paste -sd '|')
         '{program}' -test.v -test.run \"^($tests)$\" 2>&1; true"
    );
    let arguments = environment.iter().map(String::as_str).chain(["sh", "-c", &tests]);
    let arguments: Vec<&OsStr> = arguments.map(OsStr::new).collect();
    let output = run_tool("env", &arguments, b"").await?;
    let verdicts: String = String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--- ")?.split(" (").next())
        .chain(["done"])
        .map(|verdict| format!("{verdict}\n"))
        .collect();
    // Those that find no server are skipped.
    assert!(verdicts.contains("PASS: TestLongData"), "these tests ask nobody:\n{verdicts}");
    Ok(verdicts)
}

/// The script of statements, long ones, other character sets, and MariaDB's other tools.
async fn command_line(place: Place) -> Result<String> {
    let infile = place.infile.display();
    let mut input = fs::read_to_string(script("script.sql")).expect("it is part of the project");
    input.push_str(&format!(
        "SELECT '# LOAD DATA LOCAL';
         CREATE OR REPLACE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(60), size INT);
         LOAD DATA LOCAL INFILE '{infile}' INTO TABLE loaded;
         LOAD DATA LOCAL INFILE '{infile}' IGNORE INTO TABLE loaded;
         LOAD DATA LOCAL INFILE '/nowhere/absent' INTO TABLE loaded;
         SELECT * FROM loaded;\n"
    ));
    for length in [(1 << 24) - 1, 1 << 24, 40 << 20] {
        // The command's own byte, the words and the quotes count.
        let text = "a".repeat(length - 18);
        input.push_str(&format!("SELECT LENGTH('{text}');\n"));
    }
    let mut transcript = String::new();
    // Quotes of long statements are left out with -v; -vv would add times.
    let verbose = ["--force", "--show-warnings", "--column-type-info", "--local-infile", "-v"];
    transcript += &mariadb(&place, "mariadb", &verbose, &input).await?;
    let down = format!("SELECT REPEAT('x', {}), 'behind'", 40 << 20);
    transcript += &mariadb(&place, "mariadb", &["--quick", "--batch"], &down).await?;
    for charset in ["latin1", "gbk", "utf8"] {
        let option = format!("--default-character-set={charset}");
        let ask = "SELECT @@character_set_client, 'é', HEX('é'), @@collation_connection";
        transcript += &mariadb(&place, "mariadb", &[&option, "--compress"], ask).await?;
    }
    transcript += &mariadb(&place, "mariadb-dump", &["--skip-comments", "--routines"], "").await?;
    transcript += &mariadb(&place, "mariadb-show", &["--count"], "").await?;
    transcript += &mariadb(&place, "mariadb-check", &[], "").await?;
    for (user, password) in [("icinga", "wrong"), ("icinga", ""), ("absent", "x")] {
        let account = [format!("--user={user}"), format!("--password={password}")];
        let [user, password] = account.each_ref().map(String::as_str);
        transcript += &mariadb(&place, "mariadb", &[user, password], "SELECT 1").await?;
    }
    Ok(transcript + "done\n")
}

/// Both of its outputs, in the order of writing, and its exit code.
async fn mariadb(place: &Place, program: &str, options: &[&str], input: &str) -> Result<String> {
    let way = match &place.way {
        Way::Tcp(address) => vec![
            "--protocol=tcp".to_owned(),
            format!("--host={}", address.ip()),
            format!("--port={}", address.port()),
        ],
        Way::Socket(path) => vec![format!("--socket={}", path.display())],
    };
    let mut arguments = vec!["-c", "\"$@\" 2>&1; echo \"exit code $?\"", "sh", program];
    arguments.extend(["--no-defaults", "--user=icinga", "--password=icinga"]);
    arguments.extend(["--default-character-set=utf8mb4", "--max-allowed-packet=64M"]);
    arguments.extend(way.iter().map(String::as_str).chain(options.iter().copied()));
    arguments.push(DATABASE);
    let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    found(Path::new(program))?;
    let output = run_tool("sh", &arguments, input.as_bytes()).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Compiles a Go program from Debian's sources alone; what was compiled of them stays for the next time.
async fn build_go(arguments: &[&str]) -> Result<String> {
    let cache = lab_folder().join("go");
    fs::create_dir_all(&cache).expect("the lab's folder can be written");
    let program = format!("{}-{}", arguments[0], std::process::id());
    let program = cache.join(program).display().to_string();
    let cache = format!("GOCACHE={}", cache.join("cache").display());
    let environment =
        ["GO111MODULE=off", "GOPATH=/usr/share/gocode", "GOFLAGS=", "CGO_ENABLED=0", &cache, "go"];
    let mut words = environment.to_vec();
    let (command, rest) = arguments.split_at(1);
    words.extend([command, &["-o", &program], rest].concat());
    let words: Vec<&OsStr> = words.into_iter().map(OsStr::new).collect();
    run_tool("env", &words, b"").await?;
    Ok(program)
}

fn script(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories/clients");
    folder.join(name).display().to_string()
}

/// Icinga's account, and one to change to.
fn users() -> Value {
    let user = |name: &str, password: &str| {
        let keys = [("name", name), ("password", password)];
        Value::Table(keys.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    };
    Value::Array(vec![user("icinga", "icinga"), user("reader", "reader-password")])
}

/// Texts are compared to the byte, and what the proxy refuses by itself is said in English.
const ENGLISH: &str = "--lc-messages=en_US";

/// MariaDB 11.8 makes itself a certificate. A proxy has the one that it is given, and here none.
const NO_TLS: &str = "--skip-ssl";

/// A right on a database that does not exist makes the server say so, and not refuse access.
const EMPTY: &str = "DROP DATABASE IF EXISTS story; CREATE DATABASE story CHARACTER SET utf8mb4;
    GRANT ALL ON story.* TO icinga@'%';
    GRANT ALL ON absent.* TO icinga@'%';
    GRANT SELECT ON story.* TO reader@'%'";

const DATABASE: &str = "story";

/// Tests of the Go driver, as grep names them.
const LEFT_OUT: &str = r"ReturnsTimeout\|StaleConnection\|TestContext";

/// Debian's own, which has Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// The last is not whole: the server warns.
const ROWS: &str = "1\tone\t10\n2\tzwölf\t-20\n3\t\\N\n";

/// How long a script may take, on a busy machine.
const PLAY: Duration = Duration::from_secs(120);
