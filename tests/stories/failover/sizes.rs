//! Large things: results, packets, transactions, files.

use ido_proxy_protocol::packet::{MAX_PAYLOAD, frame};
use lab::Result;
use lab::raw::{Heard, Raw};
use lab::whole::Builder;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::client::adding;
use super::stage::{RECOVERY, SOON, Stage, Story};

/// A report reads fifty megabytes in a transaction, and its node dies half-way. It gets the rest, row for
/// row, or a clear end: never a result that looks whole and is not.
#[tokio::test]
async fn a_large_result_that_is_cut_goes_on_or_ends_clearly() -> Story {
    let stage = Stage::set().await?;
    let mut raw = Raw::log_in(stage.proxy().tcp(), "icinga", "icinga").await?;
    raw.command(b"\x03BEGIN").await?;
    raw.hear().await?;
    raw.command(b"\x03SELECT seq, REPEAT('x', 1000) FROM icinga.seq_1_to_50000").await?;
    // Column count, two columns, and the EOF after them.
    for _ in 0..4 {
        raw.hear().await?;
    }
    let mut rows = 0;
    let whole = loop {
        if rows == 5_000 {
            stage.primary().await?.kill().await?;
        }
        match raw.hear_within(RECOVERY).await? {
            Heard::Packet(_, payload) if payload[0] == 0xFE && payload.len() < 9 => break true,
            Heard::Packet(_, payload) if payload[0] == 0xFF => break false,
            Heard::Packet(_, payload) => {
                rows += 1;
                let number = rows.to_string();
                let first = &payload[1..=number.len()];
                stage.must(first == number.as_bytes(), format!("row {rows} is {first:?}"))?;
            }
            Heard::Closed => break false,
        }
    };
    let told = if whole { "whole" } else { "ended" };
    stage.must(!whole || rows == 50_000, format!("{rows} rows, and the result is {told}"))?;
    stage.end().await
}

/// Statements of more than one packet, and of exactly one: what is read in pieces must be kept whole.
#[tokio::test]
async fn statements_of_sixteen_megabytes_are_done_again() -> Story {
    let large = |builder: Builder| builder.node_argument("--max-allowed-packet=64M");
    let stage = Stage::with(large).await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    // The command's own byte is part of its payload.
    let exactly = MAX_PAYLOAD - 1;
    let mut lengths = Vec::new();
    for (token, length) in [(1, exactly - 1), (2, exactly), (3, exactly + 1), (4, 17 << 20)] {
        let [head, tail] =
            [format!("INSERT INTO story (token, text) VALUES ({token}, '"), "')".into()];
        let text = length - head.len() - tail.len();
        client.tell(&[head, "y".repeat(text), tail].concat()).await?;
        lengths.push((token, text as u64));
    }
    stage.primary().await?.kill().await?;
    client.tell("COMMIT").await?;
    let query = "SELECT token, LENGTH(REPLACE(text, 'x', '')) FROM icinga.story ORDER BY token";
    let stands: Vec<(u64, u64)> = client.rows(query).await?;
    assert_eq!(stands, lengths);
    stage.end().await
}

/// Icinga makes its batches as large as the server lets it. If the next node takes less, it would be the
/// failover that breaks them.
#[tokio::test]
async fn batches_that_the_first_node_takes_are_taken_by_the_next() -> Story {
    let stage = Stage::set().await?;
    let primary = stage.primary().await?;
    for node in stage.others(primary) {
        node.hold("SET GLOBAL max_allowed_packet = 1048576").await?;
    }
    stage.proxy().part().term().await?;
    stage.proxy().launch().await?;
    let primary = stage.primary().await?;
    let mut client = stage.client().await?;
    let asking = "SELECT @@global.max_allowed_packet AS max_allowed_packet";
    let told: usize = client.value(asking).await?;
    let batch = |token: u64| {
        let [head, tail] =
            [format!("INSERT INTO story (token, text) VALUES ({token}, '"), "')".into()];
        let text = told - 512 - head.len() - tail.len();
        [head, "z".repeat(text), tail].concat()
    };
    client.tell("BEGIN").await?;
    client.tell(&batch(1)).await?;
    primary.kill().await?;
    client.tell(&batch(2)).await?;
    client.tell("COMMIT").await?;
    assert_eq!(stage.rows().await?.len(), 2);
    stage.end().await
}

/// The first dump of a large site is one transaction of a hundred thousand statements, more than is kept in
/// memory.
#[tokio::test]
async fn a_dump_of_many_batches_is_done_again() -> Story {
    let small = |builder: Builder| builder.proxy_setting("journal.memory", "1MiB");
    let stage = Stage::with(small).await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    let mut told = std::collections::BTreeMap::new();
    for batch in 0..50 {
        let tokens = (batch * 500..).take(500);
        let statements: Vec<_> = tokens.clone().map(adding).collect();
        let replies = client.tell(&statements.join(";")).await?;
        told.extend(tokens.zip(replies).map(|(token, reply)| (token, reply.id.unwrap_or(0))));
    }
    stage.primary().await?.kill().await?;
    client.tell("COMMIT;BEGIN").await?;
    let stands = stage.rows().await?;
    stage.must(stands == told, format!("{} rows stand, {} were told", stands.len(), told.len()))?;
    stage.end().await
}

/// More than may be kept at all: the operator reads it in the log before anything fails, and the client
/// gets an error rather than half of it.
#[tokio::test]
async fn a_transaction_too_large_to_keep_is_named_before_it_fails() -> Story {
    let tiny = |builder: Builder| {
        builder.proxy_setting("journal.memory", "1MiB").proxy_setting("journal.disk", "1MiB")
    };
    let stage = Stage::with(tiny).await?;
    let mut client = stage.client().await?;
    client.tell("BEGIN").await?;
    // Nothing that can be packed.
    let mut random = StdRng::seed_from_u64(1);
    for token in 0..16 {
        let text: String =
            (0..1 << 19).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
        client.tell(&format!("INSERT INTO story (token, text) VALUES ({token}, '{text}')")).await?;
    }
    stage.proxy().part().says("not replayable", 1, SOON).await?;
    stage.primary().await?.kill().await?;
    let (code, text) = client.refused("COMMIT").await?;
    stage.must(code != 0, format!("{code}: {text}"))?;
    assert_eq!(stage.rows().await?, [].into(), "half of it would be worse");
    stage.end().await
}

/// The client reads its file once. It must not be asked for it again, and the rows are all there, or none
/// and the client knows.
#[tokio::test]
async fn a_file_that_was_half_loaded_is_loaded_once_or_not_at_all() -> Story {
    for already_loaded in [false, true] {
        let stage = Stage::set().await?;
        let mut raw = Raw::log_in(stage.proxy().tcp(), "icinga", "icinga").await?;
        raw.command(b"\x03BEGIN").await?;
        raw.hear().await?;
        let load = b"\x03LOAD DATA LOCAL INFILE 'rows' INTO TABLE icinga.story (token)";
        raw.command(load).await?;
        let asked = raw.hear().await?;
        stage.must(
            matches!(&asked, Heard::Packet(1, name) if name[0] == 0xFB),
            format!("{asked:?}"),
        )?;
        let primary = stage.primary().await?;
        let half =
            |from: u32| (from..from + 1_000).map(|token| format!("{token}\n")).collect::<String>();
        packet(&mut raw, half(0).as_bytes(), 2).await?;
        if !already_loaded {
            primary.kill().await?;
        }
        // Whether it still listens is its own affair.
        let _ = packet(&mut raw, half(1_000).as_bytes(), 3).await;
        let _ = packet(&mut raw, b"", 4).await;
        let mut heard = raw.hear_within(RECOVERY).await?;
        if already_loaded && heard.error().is_none() {
            primary.kill().await?;
        }
        if matches!(&heard, Heard::Packet(_, payload) if payload[0] == 0) {
            raw.command(b"\x03COMMIT").await?;
            heard = raw.hear_within(RECOVERY).await?;
        }
        let asked = matches!(&heard, Heard::Packet(_, payload) if payload[0] == 0xFB);
        stage.must(!asked, "the client was asked for its file again")?;
        let done = matches!(&heard, Heard::Packet(_, payload) if payload[0] == 0);
        let ended = heard == Heard::Closed || heard.error().is_some();
        stage.must(done || ended, format!("neither done nor refused: {heard:?}"))?;
        let rows = stage.rows().await?.len();
        let expected = if done { 2_000 } else { 0 };
        stage.must(rows == expected, format!("{rows} of {expected} rows"))?;
        stage.end().await?;
    }
    Ok(())
}

async fn packet(raw: &mut Raw, payload: &[u8], sequence: u8) -> Result<()> {
    let mut bytes = Vec::new();
    frame(payload, sequence, &mut bytes);
    raw.say(&bytes).await
}
