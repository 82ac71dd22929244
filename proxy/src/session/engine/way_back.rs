//! The way back after a loss: what is sent on a link before the client's command goes on.
//!
//! ```text
//!              new link                    same link
//!                 │                            │ ROLLBACK
//!                 ▼                            ▼
//!              Barrier ──── committed? ──► (told, the rest goes on)
//!                 │ not committed
//!                 ▼
//!               Setup        variables, database, LAST_INSERT_ID(); on a new link, prepared statements
//!                 ▼
//!               Replay       the journal, record by record; every answer is compared
//!                 ▼
//!                Over ──► the step in hand, with a fence before it
//! ```
//!
//! The barrier is a causal read: what the lost node committed, and said so, may not have been applied
//! here yet. It reads the fence, so that it also tells what became of a COMMIT in doubt.
//!
//! A loss on the way begins it anew on the next link; nothing of the journal is used up.

mod answers;
mod replay;
mod requests;
