//! The store is filled as a session fills it, with small chunks where the size makes no difference.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use tempfile::TempDir;
use tokio::runtime;
use tokio::time::{sleep, timeout};

use super::*;

const CHUNK: usize = 4 * 1024;
const MIB: usize = 1024 * 1024;

fn budget(memory: usize, disk: usize, folder: Option<&Path>) -> Arc<Budget> {
    Arc::new(Budget::new(memory as u64, disk as u64, folder.map(PathBuf::from)))
}

/// A store with small chunks that never runs out, in memory and beyond, and its folder.
fn small(memory: usize) -> (Store, Arc<Budget>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(memory, 1 << 30, Some(folder.path()));
    (Store::with_chunk_size(Arc::clone(&budget), CHUNK), budget, folder)
}

/// Makes SQL that packs well, as Icinga writes it.
fn sql(id: usize) -> Vec<u8> {
    let state = id % 4;
    format!(
        "INSERT INTO icinga_servicestatus (acknowledgement_type, active_checks_enabled, \
         current_check_attempt, current_state, instance_id, output, service_object_id, \
         status_update_time) VALUES ('0', '1', '1', '{state}', 1, 'PING OK - Packet loss = 0%, RTA \
         = {}.{} ms', {id}, FROM_UNIXTIME({}))  ON DUPLICATE KEY UPDATE current_state = '{state}'",
        id * 31 % 97,
        id * 17 % 89,
        1_700_000_000 + id / 3,
    )
    .into_bytes()
}

/// Makes bytes that do not pack.
fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(seed as u64).fill_bytes(&mut bytes);
    bytes
}

async fn next(store: &mut Store, cursor: &mut Cursor) -> io::Result<Option<Vec<u8>>> {
    if matches!(store.peek(cursor), Fetch::Load) {
        store.load(cursor).await?;
    }
    let record = match store.peek(cursor) {
        Fetch::Record(record) => record.to_vec(),
        Fetch::End => return Ok(None),
        other => panic!("loaded, and yet {other:?}"),
    };
    store.advance(cursor);
    Ok(Some(record))
}

async fn read_from(store: &mut Store, cursor: &mut Cursor) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(record) = next(store, cursor).await.unwrap() {
        records.push(record);
    }
    records
}

async fn read_all(store: &mut Store) -> Vec<Vec<u8>> {
    read_from(store, &mut Cursor::default()).await
}

/// Waits until other threads have let go of what they worked on.
async fn assert_all_given_back(budget: &Budget) {
    let given_back = async {
        while (budget.memory_used(), budget.disk_used()) != (0, 0) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), given_back).await.expect("the budget gets all of it back");
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        len: usize,
        packs: bool,
    },
    Settle,
    /// Gives up waiting at once.
    Cancel,
    Read {
        records: usize,
    },
    ReadAll,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![4 => 0..200usize, 4 => 200..2 * CHUNK, 1 => 2 * CHUNK..10 * CHUNK];
    prop_oneof![
        20 => (len, any::<bool>()).prop_map(|(len, packs)| Step::Append { len, packs }),
        8 => Just(Step::Settle),
        2 => Just(Step::Cancel),
        2 => (0..50usize).prop_map(|records| Step::Read { records }),
        2 => Just(Step::ReadAll),
        1 => Just(Step::Clear),
    ]
}

async fn play(steps: Vec<Step>, memory: usize) {
    let (mut store, budget, _folder) = small(memory);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for (index, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append { len, packs } => {
                let record =
                    if packs { sql(index).repeat(len / 300 + 1) } else { noise(index, len) };
                let (head, tail) = record.split_at(record.len() / 3);
                store.append(&[head, tail]).unwrap();
                expected.push(record);
            }
            Step::Settle => store.settle().await.unwrap(),
            Step::Cancel => drop(timeout(Duration::ZERO, store.settle()).await),
            Step::Read { records } => {
                let mut cursor = Cursor::default();
                for record in expected.iter().take(records) {
                    assert_eq!(next(&mut store, &mut cursor).await.unwrap().as_ref(), Some(record));
                }
            }
            Step::ReadAll => assert_eq!(read_all(&mut store).await, expected),
            Step::Clear => {
                store.clear();
                expected.clear();
            }
        }
    }
    store.settle().await.unwrap();
    for _ in 0..2 {
        assert_eq!(read_all(&mut store).await, expected);
    }
    drop(store);
    assert_all_given_back(&budget).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Else a transaction would be replayed with a statement missing, twice, out of order or cut.
    #[test]
    fn records_come_back_in_order_byte_for_byte(
        steps in prop::collection::vec(step(), 1..120),
        // From one where all is spilled to one where nothing is.
        memory in prop_oneof![Just(0), 1..20 * CHUNK, Just(1 << 30)],
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps, memory));
    }
}

/// Else large transactions would take several times the memory they need, and reach the limits.
#[tokio::test]
async fn what_packs_is_packed_and_what_does_not_is_kept_as_it_is() {
    for (record, most) in [(sql(1), 40), (noise(1, 300), 101)] {
        let (mut store, budget, _folder) = small(1 << 30);
        let mut len = 0;
        while store.sealed.chunks.len() < 20 {
            store.append(&[&record]).unwrap();
            len += HEADER_LEN + record.len();
        }
        while store.sealed.packed < 20 {
            store.settle().await.unwrap();
            tokio::task::yield_now().await;
        }
        let used = budget.memory_used() as usize - CHUNK;
        assert!(used <= len * most / 100, "{used} of {len} bytes");
        assert_eq!(budget.disk_used(), 0, "there is memory enough");
        assert!(read_all(&mut store).await.iter().all(|read| *read == record));
    }
}

/// Else a replay whose node dies as well could not start over, or a crash would leave the SQL of
/// clients in files.
#[tokio::test]
async fn spilled_records_are_read_again_and_again_and_have_no_name() {
    let (mut store, budget, folder) = small(8 * CHUNK);
    let records: Vec<_> = (0..200).map(|id| noise(id, 1000)).collect();
    for record in &records {
        store.append(&[record]).unwrap();
        store.settle().await.unwrap();
    }
    assert!(store.sealed.spilled > 30, "{}", store.sealed.spilled);
    assert!(budget.disk_used() > 30 * CHUNK as u64 / 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let used = (budget.memory_used(), budget.disk_used());
    let mut cursor = Cursor::default();
    for record in &records[..100] {
        assert_eq!(next(&mut store, &mut cursor).await.unwrap().as_ref(), Some(record));
    }
    assert_eq!(read_all(&mut store).await, records);
    assert_eq!(read_from(&mut store, &mut cursor).await, records[100..]);
    let one_chunk = 2 * CHUNK as u64;
    assert!(budget.memory_used() <= used.0 + one_chunk, "one chunk is loaded at a time");
    assert_eq!(budget.disk_used(), used.1);
}

/// Else what a client sends after a replay would be missing from the next one's end.
#[tokio::test]
async fn a_cursor_at_the_end_goes_on_with_what_is_appended_later() {
    let (mut store, _budget, _folder) = small(0);
    let mut cursor = Cursor::default();
    assert!(matches!(store.peek(&cursor), Fetch::End));
    for id in 0..100 {
        store.append(&[&noise(id, 700)]).unwrap();
        store.settle().await.unwrap();
        assert_eq!(read_from(&mut store, &mut cursor).await, [noise(id, 700)]);
        store.advance(&mut cursor);
        assert!(matches!(store.peek(&cursor), Fetch::End));
    }
}

/// Else each transaction would leave less for the next ones, until none can be replayed.
#[tokio::test]
async fn all_is_given_back_at_any_time() {
    let ends: [fn(Store); 2] = [drop, |mut store| {
        store.clear();
        assert!(matches!(store.peek(&Cursor::default()), Fetch::End));
    }];
    for end in ends {
        for count in 0..60 {
            let (mut store, budget, _folder) = small(4 * CHUNK);
            for id in 0..count {
                store.append(&[&sql(id), &noise(id, 900)]).unwrap();
                drop(timeout(Duration::ZERO, store.settle()).await);
            }
            // With what is loaded, and while another thread is at work.
            drop(timeout(Duration::ZERO, store.load(&Cursor::default())).await);
            end(store);
            assert_all_given_back(&budget).await;
        }
    }
}

/// Else a part of a transaction would be taken for all of it, or its session would keep what
/// others need.
#[tokio::test]
async fn an_overflow_is_told_and_stays_until_the_store_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, disk) = (8 * CHUNK, 16 * CHUNK);
    let budget = budget(memory, disk, Some(folder.path()));
    let mut store = Store::with_chunk_size(Arc::clone(&budget), CHUNK);
    for _ in 0..2 {
        let mut records = Vec::new();
        let overflow = loop {
            let record = noise(records.len(), 500);
            match store.append(&[&record]) {
                Ok(()) => records.push(record),
                Err(overflow) => break overflow,
            }
            store.settle().await.unwrap();
            assert_eq!(read_all(&mut store).await, records);
            assert!(
                budget.memory_used() + budget.disk_used() <= (memory + disk + 2 * CHUNK) as u64
            );
        };
        assert!(matches!(overflow, Overflow::Limits), "{overflow:?}");
        assert!(records.len() * 500 > (memory + disk) * 8 / 10, "{} records", records.len());
        assert_all_given_back(&budget).await;

        assert!(matches!(store.append(&[b"small"]), Err(Overflow::Limits)));
        assert!(matches!(store.settle().await, Err(Overflow::Limits)));
        assert!(matches!(store.peek(&Cursor::default()), Fetch::Lost(Overflow::Limits)));
        assert!(store.load(&Cursor::default()).await.is_err());
        assert_all_given_back(&budget).await;

        store.clear();
        assert!(store.append(&[b"small"]).is_ok());
        store.clear();
        assert_eq!(read_all(&mut store).await, Vec::<Vec<u8>>::new());
    }
}

/// Else a proxy without a folder would take more memory than it may.
#[tokio::test]
async fn without_a_folder_memory_is_all_there_is() {
    let budget = budget(16 * CHUNK, 1 << 30, None);
    let mut store = Store::with_chunk_size(Arc::clone(&budget), CHUNK);
    let mut len = 0;
    let overflow = loop {
        let record = sql(len);
        if let Err(overflow) = store.append(&[&record]) {
            break overflow;
        }
        store.settle().await.unwrap();
        len += record.len();
    };
    assert!(matches!(overflow, Overflow::NoFolder), "{overflow:?}");
    assert!(len > 40 * CHUNK, "it is packed at least: {len} bytes");
    assert_all_given_back(&budget).await;
}

/// Else one session could take all the memory of the machine, or stop the replay of the others.
#[tokio::test]
async fn two_sessions_share_one_budget() {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(16 * CHUNK, 64 * CHUNK, Some(folder.path()));
    let [mut large, mut other] =
        [(); 2].map(|()| Store::with_chunk_size(Arc::clone(&budget), CHUNK));
    let mut records = Vec::new();
    for id in 0..200 {
        large.append(&[&noise(id, 1000)]).unwrap();
        large.settle().await.unwrap();
        if id % 4 == 0 {
            records.push(sql(id));
            other.append(&[&sql(id)]).unwrap();
            other.settle().await.unwrap();
        }
    }
    assert!(budget.memory_used() <= 16 * CHUNK as u64, "{}", budget.memory_used());
    let overflow = loop {
        if let Err(overflow) = large.append(&[&noise(0, 1000)]) {
            break overflow;
        }
        large.settle().await.unwrap();
    };
    assert!(matches!(overflow, Overflow::Limits), "{overflow:?}");
    assert_eq!(read_all(&mut other).await, records, "the fault of one is not that of the other");
    drop((large, other));
    assert_all_given_back(&budget).await;
}

/// Else Icinga's first dump, hundreds of megabytes in one transaction, could not be replayed, or
/// would fill the memory of the machine.
#[tokio::test]
async fn a_first_dump_fits_in_a_fraction_of_its_size() {
    const MEMORY: usize = 4 * MIB;
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(MEMORY, 32 * MIB, Some(&folder.path().join("journal")));
    let mut store = Store::new(Arc::clone(&budget));
    let statements: Vec<_> = (0..1000).map(sql).collect();
    let (mut len, mut most) = (0, 0);
    while len < 64 * MIB {
        for statement in &statements {
            store.append(&[statement]).unwrap();
            len += statement.len();
        }
        most = most.max(budget.memory_used());
        store.settle().await.unwrap();
    }
    assert!(most <= MEMORY as u64, "{most}");
    assert!(budget.disk_used() > 0);
    let mut cursor = Cursor::default();
    let mut read = 0;
    loop {
        match store.peek(&cursor) {
            Fetch::Load => store.load(&cursor).await.unwrap(),
            Fetch::Record(record) => {
                assert!(*record == statements[read % 1000]);
                read += 1;
                store.advance(&mut cursor);
            }
            Fetch::End => break,
            Fetch::Lost(overflow) => panic!("{overflow}"),
        }
    }
    assert_eq!(read % 1000, 0);
    assert!(read * statements[0].len() > 60 * MIB);
}

/// Else every second of Icinga's ordinary work would cost page faults, and idle sessions memory.
#[tokio::test]
async fn one_transaction_after_another_uses_the_same_buffer() {
    let budget = budget(64 * MIB, 0, None);
    let mut stores = [(); 2].map(|()| Store::new(Arc::clone(&budget)));
    let mut buffers = Vec::new();
    for round in 0..10 {
        let store = &mut stores[round % 2];
        for id in 0..600 {
            store.append(&[&sql(id)]).unwrap();
            store.settle().await.unwrap();
        }
        buffers.push((store.open.bytes.as_ptr(), store.open.bytes.capacity()));
        store.clear();
        assert_eq!(store.open.bytes.capacity(), 0, "it is for whoever comes next");
        assert_eq!(budget.memory_used(), 0);
    }
    buffers.dedup();
    assert_eq!(buffers.len(), 1, "{buffers:?}");
}

/// Else a full or broken disk would make a replay end too early, or nobody would know why
/// transactions are not replayed.
#[tokio::test]
async fn a_disk_that_fails_is_told_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.join("journal"), directory.path().join("missing/journal")] {
        let budget = budget(8 * CHUNK, 1 << 30, Some(&folder));
        let mut store = Store::with_chunk_size(Arc::clone(&budget), CHUNK);
        let overflow = loop {
            store.append(&[&noise(0, 1000)]).unwrap();
            if let Err(overflow) = store.settle().await {
                break overflow;
            }
        };
        assert!(matches!(overflow, Overflow::Disk { .. }), "{overflow:?}");
        let told = overflow.to_string();
        assert!(told.starts_with(&format!("cannot write to {}: ", folder.display())), "{told}");
        assert!(matches!(store.append(&[b"small"]), Err(Overflow::Disk { .. })));
        assert_all_given_back(&budget).await;
    }
}

/// Else a replay would commit the part of a transaction that could be read.
#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_not_the_end() {
    let (mut store, _budget, _folder) = small(0);
    for id in 0..10 {
        store.append(&[&noise(id, 1000)]).unwrap();
        store.settle().await.unwrap();
    }
    store.sealed.file.as_ref().unwrap().truncate();
    let error = store.load(&Cursor::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(matches!(store.peek(&Cursor::default()), Fetch::Load));
}
