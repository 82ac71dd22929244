//! The audit on a plain server: silent about what is right, and not about anything that was doctored.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::OptsBuilder;

use super::*;
use crate::galera::{ICINGA_PASSWORD, ICINGA_USER};
use crate::plain::Plain;
use crate::run::Run;

/// An audit that overlooks a kind of damage lets every story about that damage pass.
#[tokio::test]
async fn every_kind_of_damage_is_found_and_nothing_else() {
    let stage = Stage::set().await;
    let mut records = Vec::new();
    for pattern in PATTERNS {
        let writer = stage.ledger.writer(pattern, stage.account()).await.expect("it logs in");
        writer.writes(9, SOON).await.expect("it writes");
        records.push(writer.end(SOON).await.expect("it ends"));
    }
    assert_eq!(stage.findings(&records).await, [], "nothing was touched");
    assert!(records.iter().all(|record| record.in_flight.is_empty() && !record.in_doubt));

    for record in &records {
        stage.doctor(record, &records).await;
    }

    let mut told = records.clone();
    told[0].error = Some("gone away".into());
    told[1].oddities.push("told of 0 rows".into());
    let expected = [
        Finding::Error { writer: 1, text: "gone away".into() },
        Finding::Told { writer: 2, text: "told of 0 rows".into() },
    ];
    assert_eq!(stage.findings(&told).await, expected);
}

/// A client that was cut off cannot know whether its last COMMIT was heard. Both is right, half is not.
#[tokio::test]
async fn what_is_in_doubt_may_stand_whole_or_not_at_all() {
    let stage = Stage::set().await;
    let pattern = Pattern::Batch { statements: 8 };
    let writer = stage.ledger.writer(pattern, stage.account()).await.expect("it logs in");
    writer.writes(3, SOON).await.expect("it writes");
    let record = writer.end(SOON).await.expect("it ends");
    let mut next = TOKENS + 1_000;
    let effects = pattern.plan(&mut next);
    let statements: Vec<_> = effects.iter().map(|effect| effect.text(1)).collect();

    let mut doubtful = record.clone();
    doubtful.sends(&effects);
    doubtful.commits();
    let records = std::slice::from_ref(&doubtful);
    assert_eq!(stage.findings(records).await, [], "it does not stand");

    let (last, body) = statements.split_last().expect("a batch");
    stage.run(&format!("USE icinga;{}", body.join(";"))).await;
    assert!(!stage.findings(records).await.is_empty(), "half of it stands: {last}");
    stage.run(&format!("USE icinga;{last}")).await;
    assert_eq!(stage.findings(records).await, [], "it stands");

    // The server said that it rolled back.
    doubtful.fails("deadlock".into(), true);
    let findings = stage.findings(&[doubtful]).await;
    assert!(
        findings.iter().any(|finding| matches!(finding, Finding::Ghost { .. })),
        "{findings:?}"
    );
}

/// Icinga asks for matched rows, not for changed ones. A writer that took both would notice no loss.
#[tokio::test]
async fn a_wrong_reply_and_an_error_are_noticed() {
    let stage = Stage::set().await;
    stage.run("DELETE FROM icinga.story_counter").await;
    let writer = stage.ledger.writer(PATTERNS[0], stage.account()).await.expect("it logs in");
    writer.writes(1, SOON).await.expect("it writes");
    let findings = stage.findings(&[writer.end(SOON).await.expect("it ends")]).await;
    assert!(matches!(&findings[0], Finding::Told { text, .. } if text.contains("0 rows")));

    let writer = stage.ledger.writer(PATTERNS[1], stage.account()).await.expect("it logs in");
    writer.writes(1, SOON).await.expect("it writes");
    stage.run("DROP TABLE icinga.story_program").await;
    let failed = writer.writes(1_000_000, SOON).await.expect_err("the table is gone").to_string();
    assert!(failed.contains("the client got an error") && failed.contains("plain.log"), "{failed}");
    let record = writer.end(SOON).await.expect("it has ended");
    assert!(record.error.is_some() && !record.in_doubt);
}

/// A plain server with a ledger.
struct Stage {
    ledger: Ledger,
    server: Plain,
    _run: Arc<Run>,
}

impl Stage {
    async fn set() -> Self {
        let run = Arc::new(Run::begin().expect("a number is free"));
        let server = Plain::start(&run, &[]).await.expect("it starts");
        let root = server.connect().await.expect("it answers");
        let ledger = Ledger::create(root, server.part().log()).await.expect("root may");
        Self { ledger, server, _run: run }
    }

    fn account(&self) -> OptsBuilder {
        sql::account(self.server.address(), ICINGA_USER, ICINGA_PASSWORD).db_name(Some(ICINGA_USER))
    }

    async fn run(&self, script: &str) {
        let mut root = self.server.connect().await.expect("it answers");
        sql::script(&mut root, "doctoring", script, SOON).await.expect("root may");
    }

    async fn findings(&self, records: &[Record]) -> Vec<Finding> {
        let root = self.server.connect().await.expect("it answers");
        self.ledger.audit(root, records).await.expect("it answers").0
    }

    /// Does every kind of damage to the rows of `record`, one at a time, and undoes it.
    async fn doctor(&self, record: &Record, all: &[Record]) {
        let writer = record.writer;
        let (token, id) = record.acknowledged.history.iter().next().expect("it has history");
        let (token, id) = (*token, id.expect("ids are told"));
        let slot = |finding: &Finding| matches!(finding, Finding::Status { slot: 3, .. });
        let program = |finding: &Finding| matches!(finding, Finding::Program { .. });
        let counter = |finding: &Finding| matches!(finding, Finding::Counter { .. });
        let is = |expected: Finding| move |finding: &Finding| *finding == expected;
        let damages: [Damage; 9] = [
            (
                format!("UPDATE icinga.story_history SET writer = 99 WHERE id = {id}"),
                format!("UPDATE icinga.story_history SET writer = {writer} WHERE id = {id}"),
                Box::new(is(Finding::Lost { writer, token })),
            ),
            (
                format!(
                    "INSERT INTO icinga.story_history (token, writer, output) \
                     VALUES ({token}, {writer}, '')"
                ),
                format!("DELETE FROM icinga.story_history WHERE token = {token} AND id <> {id}"),
                Box::new(is(Finding::Doubled { writer, token, rows: 2 })),
            ),
            (
                format!(
                    "INSERT INTO icinga.story_history (token, writer, output) VALUES (7, {writer}, '')"
                ),
                "DELETE FROM icinga.story_history WHERE token = 7".into(),
                Box::new(is(Finding::Ghost { writer, token: 7 })),
            ),
            (
                format!("UPDATE icinga.story_history SET id = id + 1000000 WHERE id = {id}"),
                format!("UPDATE icinga.story_history SET id = {id} WHERE token = {token}"),
                Box::new(is(Finding::WrongId { writer, token, told: id, has: id + 1_000_000 })),
            ),
            (
                status(writer, "updates = updates + 1"),
                status(writer, "updates = updates - 1"),
                Box::new(slot),
            ),
            (
                status(writer, "token = token + 5"),
                status(writer, "token = token - 5"),
                Box::new(slot),
            ),
            (count(writer, "-"), count(writer, "+"), Box::new(counter)),
            (count(writer, "+"), count(writer, "-"), Box::new(counter)),
            (
                format!(
                    "UPDATE icinga.story_program SET token = token + 1 WHERE writer = {writer}"
                ),
                format!(
                    "UPDATE icinga.story_program SET token = token - 1 WHERE writer = {writer}"
                ),
                Box::new(program),
            ),
        ];
        for (damage, cure, expected) in &damages {
            self.run(damage).await;
            let findings = self.findings(all).await;
            assert!(findings.len() == 1 && expected(&findings[0]), "{damage}: {findings:?}");
            self.run(cure).await;
            assert_eq!(self.findings(all).await, [], "{cure}");
        }
    }
}

/// A statement that does it, one that undoes it, and what is to be found in between.
type Damage = (String, String, Box<dyn Fn(&Finding) -> bool>);

fn status(writer: u32, change: &str) -> String {
    format!("UPDATE icinga.story_status SET {change} WHERE writer = {writer} AND slot = 3")
}

fn count(writer: u32, sign: &str) -> String {
    format!("UPDATE icinga.story_counter SET value = value {sign} 1 WHERE writer = {writer}")
}

const PATTERNS: [Pattern; 5] = [
    Pattern::Batch { statements: 20 },
    Pattern::Single { statements: 8 },
    Pattern::Prepared { statements: 8 },
    Pattern::Autocommit,
    Pattern::PreparedAutocommit,
];

const SOON: Duration = Duration::from_secs(30);
