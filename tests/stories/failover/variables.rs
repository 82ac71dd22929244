//! Settings of a session at its next node: every variable that a client may set, asked of the server itself.

use lab::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::stage::{Stage, Story};

/// A session with one variable set.
struct Session {
    conn: Conn,
    name: String,
    way: Way,
    /// Value that was read behind the SET.
    value: Option<String>,
}

/// How a variable is set.
#[derive(Clone, Copy, Debug)]
enum Way {
    Text,
    Prepared,
}

/// A setting that is lost is found out about months later, if ever: dates in another time zone, rows that a mode should
/// have refused. A session that cannot take a setting along may end, but not go on without it.
#[tokio::test]
async fn every_variable_is_as_it_was_set() -> Story {
    let stage = Stage::set().await?;
    let mut sessions = Vec::new();
    for variable in variables(&mut stage.client().await?.conn).await? {
        for way in [Way::Text, Way::Prepared] {
            sessions.extend(session(&stage, &variable, way).await?);
        }
    }
    // An account without privileges may set more than 160 of them on 10.11 and on 11.8.
    stage.must(sessions.len() > 300, format!("{} variables could be set", sessions.len()))?;
    stage.primary().await?.kill().await?;

    let (mut kept, mut others) = (0, Vec::new());
    for Session { mut conn, name, way, value } in sessions {
        match read(&mut conn, &name).await {
            Ok(now) if now == value => kept += 1,
            Ok(now) => others.push(format!("{name}: {value:?} was set ({way:?}), {now:?} found")),
            Err(error) => others.push(format!("{name}: {error} ({way:?})")),
        }
    }
    others.retain(|other| !PASSING.iter().any(|name| other.starts_with(&format!("{name}: "))));
    assert_eq!(others, Vec::<String>::new(), "{kept} were kept");
    stage.end().await
}

/// Variables that say what happens next or what has happened, and are no setting; each with what becomes of it in
/// `docs/limits.md`.
const PASSING: [&str; 4] = ["insert_id", "rand_seed1", "rand_seed2", "timestamp"];

/// A variable of the server, with values that it may have.
struct Variable {
    name: String,
    values: Vec<String>,
}

/// Name, type, value, block size, least value and list of values.
type Row = (String, String, Option<String>, Option<String>, Option<String>, Option<String>);

/// The variables that the server lets a session set.
async fn variables(conn: &mut Conn) -> Result<Vec<Variable>> {
    let rows: Vec<Row> = lab::sql::rows(
        conn,
        "SELECT LOWER(variable_name), variable_type, session_value, numeric_block_size, \
         numeric_min_value, enum_value_list FROM information_schema.system_variables \
         WHERE variable_scope LIKE 'SESSION%' AND read_only = 'NO' ORDER BY 1",
    )
    .await?;
    let variables = rows.into_iter().map(|(name, kind, now, block, least, list)| {
        let now = now.unwrap_or_default();
        let list =
            || list.iter().flat_map(|list| list.split(',')).map(|value| format!("'{value}'"));
        let values = match kind.as_str() {
            "BOOLEAN" => vec!["NOT @@SESSION.".to_owned() + &name],
            "ENUM" | "SET" | "FLAGSET" => list().collect(),
            "VARCHAR" => TEXTS.map(|text| format!("'{text}'")).into(),
            _ => {
                let block = block.filter(|block| block != "0").unwrap_or_else(|| "1".into());
                vec![
                    format!("{now} + {block}"),
                    format!("{now} - {block}"),
                    least.unwrap_or_default(),
                ]
            }
        };
        Variable { name, values }
    });
    Ok(variables.collect())
}

/// Values of variables that are texts: time zones, character sets, collations, languages, engines, names of debugging.
const TEXTS: [&str; 10] =
    ["+03:00", "latin1", "latin1_german1_ci", "de_DE", "german", "InnoDB", "MyISAM", "a", "1", ""];

/// A session in which the variable has another value than before, if the server accepts one.
async fn session(stage: &Stage, variable: &Variable, way: Way) -> Result<Option<Session>> {
    let mut conn = stage.client().await?.conn;
    let name = variable.name.clone();
    let before = lab::sql::value(&mut conn, &reading(&name)).await?;
    for value in &variable.values {
        let setting = format!("SET SESSION {name} = {value}");
        let set = match way {
            Way::Text => conn.query_drop(setting).await,
            Way::Prepared => conn.exec_drop(setting, ()).await,
        };
        if set.is_ok()
            && let Ok(value) = read(&mut conn, &name).await
            && value != before
        {
            return Ok(Some(Session { conn, name, way, value }));
        }
    }
    Ok(None)
}

async fn read(
    conn: &mut Conn,
    name: &str,
) -> std::result::Result<Option<String>, mysql_async::Error> {
    let rows: Vec<Option<String>> = conn.query(reading(name)).await?;
    Ok(rows.into_iter().next().flatten())
}

fn reading(name: &str) -> String {
    format!("SELECT CAST(@@SESSION.{name} AS CHAR)")
}
