//! Replies built together with the steps that they must be followed in.

use proptest::prelude::*;

use crate::capabilities::Capabilities;
use crate::eof::EofPacket;
use crate::err::ErrPacket;
use crate::ok::OkPacket;
use crate::packet::frame;
use crate::prepare::PrepareOk;
use crate::reply::{ReplyStep, ReplyTracker};
use crate::status::StatusFlags;
use crate::violation::Violation;

/// The bytes of a reply, and the steps that carry status with their places in it.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) capabilities: Capabilities,
    pub(super) bytes: Vec<u8>,
    pub(super) steps: Vec<(usize, ReplyStep)>,
}

impl Script {
    pub(super) fn new(capabilities: Capabilities) -> Self {
        Self { capabilities, bytes: Vec::new(), steps: Vec::new() }
    }

    /// A packet without status.
    pub(super) fn raw(&mut self, payload: &[u8]) -> &mut Self {
        frame(payload, 1, &mut self.bytes);
        self
    }

    /// A packet that is to be told as `step`.
    pub(super) fn packet(
        &mut self,
        payload: &[u8],
        step: impl FnOnce(usize) -> ReplyStep,
    ) -> &mut Self {
        let start = self.bytes.len();
        frame(payload, 1, &mut self.bytes);
        self.steps.push((start, step(self.bytes.len() - start)));
        self
    }

    pub(super) fn ok(&mut self, status: StatusFlags) -> &mut Self {
        self.ok_packet(status, false)
    }

    fn ok_packet(&mut self, status: StatusFlags, ends_rows: bool) -> &mut Self {
        let ok = OkPacket {
            ends_rows,
            affected_rows: 0x1_0000,
            last_insert_id: 300,
            status,
            info: b"Rows matched: 65536",
            ..OkPacket::default()
        };
        // With SESSION_TRACK the flag survives even without a block.
        let payload = ok.encode(Capabilities::SESSION_TRACK);
        let state_changed = self.capabilities.contains(Capabilities::SESSION_TRACK)
            && status.contains(StatusFlags::SESSION_STATE_CHANGED);
        let last = !status.contains(StatusFlags::MORE_RESULTS);
        self.packet(&payload, |len| ReplyStep::Ok { len, status, state_changed, last })
    }

    pub(super) fn err(&mut self, code: u16) -> &mut Self {
        let payload = ErrPacket::new(code, *b"HY000", "it failed").encode();
        self.packet(&payload, |len| ReplyStep::Err { len, code, last: true })
    }

    pub(super) fn progress(&mut self) -> &mut Self {
        let payload = b"\xff\xff\xff\x01\x01\x02\x10\x27\0\x05stage";
        self.packet(payload, |len| ReplyStep::Progress { len })
    }

    pub(super) fn infile(&mut self, name: &[u8]) -> &mut Self {
        let payload = [b"\xfb", name].concat();
        self.packet(&payload, |len| ReplyStep::LocalInfile { len })
    }

    /// The column count, the definitions, and their end.
    pub(super) fn columns(&mut self, count: u16, status: StatusFlags) -> &mut Self {
        let [low, high] = count.to_le_bytes();
        match count {
            0..=0xFA => self.raw(&[low]),
            _ => self.raw(&[0xFC, low, high]),
        };
        self.definitions(count).definitions_end(status)
    }

    fn definitions(&mut self, count: u16) -> &mut Self {
        for _ in 0..count {
            self.raw(b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x03\x81\0\0\0\0");
        }
        self
    }

    pub(super) fn definitions_end(&mut self, status: StatusFlags) -> &mut Self {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            return self;
        }
        self.eof(status, false)
    }

    pub(super) fn rows(&mut self, count: usize, len: usize) -> &mut Self {
        let row: Vec<u8> = (0..len as u8).collect();
        for _ in 0..count {
            self.raw(&row);
        }
        self
    }

    /// The end of rows.
    pub(super) fn end(&mut self, status: StatusFlags) -> &mut Self {
        if self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.ok_packet(status, true)
        } else {
            self.eof(status, !status.contains(StatusFlags::MORE_RESULTS))
        }
    }

    pub(super) fn eof(&mut self, status: StatusFlags, last: bool) -> &mut Self {
        let payload = EofPacket { warnings: 0, status }.encode();
        self.packet(&payload, |len| ReplyStep::Eof { len, status, last })
    }

    /// The whole answer to a COM_STMT_PREPARE.
    pub(super) fn prepare_ok(&mut self, columns: u16, parameters: u16) -> &mut Self {
        let payload = PrepareOk {
            statement_id: 1,
            columns,
            parameters,
            warnings: 0,
            definitions_follow: true,
        }
        .encode();
        let last = columns == 0 && parameters == 0;
        self.packet(&payload, |len| ReplyStep::Raw { len, last });
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            if parameters > 0 {
                self.definitions(parameters).eof(StatusFlags::AUTOCOMMIT, columns == 0);
            }
            if columns > 0 {
                self.definitions(columns).eof(StatusFlags::AUTOCOMMIT, true);
            }
        } else if !last {
            // The last definition is told, since nothing else ends the reply.
            self.definitions(parameters + columns - 1);
            self.packet(b"\x03def", |len| ReplyStep::Raw { len, last: true });
        }
        self
    }
}

/// Record of a reply that was followed.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    /// The steps that carry status, each with its place in the stream.
    pub(super) steps: Vec<(usize, ReplyStep)>,
    /// The bytes that were covered by steps.
    pub(super) passed: usize,
    pub(super) violation: Option<Violation>,
}

/// Follows `bytes` as they arrive in pieces that end at `cuts`, until the reply is complete.
pub(super) fn follow(mut tracker: ReplyTracker, bytes: &[u8], cuts: &[usize]) -> Seen {
    let mut seen = Seen { steps: Vec::new(), passed: 0, violation: None };
    for cut in cuts.iter().chain([&bytes.len()]) {
        while !tracker.is_done() {
            let step = match tracker.step(&bytes[seen.passed..*cut]) {
                Ok(ReplyStep::Incomplete) => break,
                Ok(step) => step,
                Err(violation) => {
                    seen.violation = Some(violation);
                    return seen;
                }
            };
            assert!(step.covered() >= 1 && seen.passed + step.covered() <= *cut);
            if !matches!(step, ReplyStep::Pass(_)) {
                seen.steps.push((seen.passed, step));
                let last = matches!(
                    step,
                    ReplyStep::Eof { last: true, .. }
                        | ReplyStep::Err { last: true, .. }
                        | ReplyStep::Ok { last: true, .. }
                        | ReplyStep::Raw { last: true, .. }
                );
                assert_eq!(last, tracker.is_done(), "{step:?}");
            }
            seen.passed += step.covered();
        }
    }
    seen
}

/// The flags that a step tells.
pub(super) fn status(step: &ReplyStep) -> Option<StatusFlags> {
    match step {
        ReplyStep::Eof { status, .. } | ReplyStep::Ok { status, .. } => Some(*status),
        _ => None,
    }
}

/// One result of a reply.
#[derive(Clone, Debug)]
enum Outcome {
    File,
    Ok,
    Progress,
    Rows { columns: u16, rows: usize, len: usize },
}

/// Replies to a COM_QUERY: any results one after the other, then success or an error.
pub(super) fn scripts() -> impl Strategy<Value = Script> {
    let outcome = prop_oneof![
        Just(Outcome::File),
        Just(Outcome::Ok),
        Just(Outcome::Progress),
        (1..4_u16, 0..6_usize, 1..40_usize).prop_map(|(columns, rows, len)| Outcome::Rows {
            columns,
            rows,
            len
        }),
    ];
    let flags = any::<u16>().prop_map(StatusFlags::from_bits);
    (proptest::collection::vec((outcome, flags), 0..8), any::<[bool; 3]>()).prop_map(
        |(outcomes, [eof, tracking, fails])| {
            let mut capabilities = Capabilities::PROGRESS;
            if !eof {
                capabilities.insert(Capabilities::DEPRECATE_EOF);
            }
            if tracking {
                capabilities.insert(Capabilities::SESSION_TRACK);
            }
            let mut script = Script::new(capabilities);
            for (outcome, flags) in outcomes {
                let flags = flags | StatusFlags::MORE_RESULTS;
                match outcome {
                    Outcome::File => script.infile(b"/var/tmp/rows").ok(flags),
                    Outcome::Ok => script.ok(flags),
                    Outcome::Progress => script.progress(),
                    Outcome::Rows { columns, rows, len } => {
                        script.columns(columns, flags).rows(rows, len).end(flags)
                    }
                };
            }
            if fails {
                script.err(1213);
            } else {
                script.ok(StatusFlags::AUTOCOMMIT);
            }
            script
        },
    )
}
