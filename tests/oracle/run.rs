//! Runs a program on one side, and keeps what was seen.

use std::time::Duration;

use lab::error::Result;
use tokio::time::sleep;

use crate::client::Client;
use crate::packet::Packet;
use crate::program::Program;
use crate::scratch::{Contents, Scratch};
use crate::wire::Account;

/// Both sides of one worker.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) direct: Side,
    pub(crate) proxy: Side,
    serial: u64,
}

impl Pair {
    /// The sides of worker `worker`: clients log in at `direct` and `proxy`, root at the direct one. `apart` says that the
    /// proxy leads to other nodes than that.
    ///
    /// # Errors
    /// When the scratch databases cannot be made.
    pub(crate) async fn make(
        root: &Account,
        direct: &Account,
        proxy: &Account,
        worker: usize,
        apart: bool,
    ) -> Result<Self> {
        let side = async |account: &Account, letter| -> Result<Side> {
            let scratch = Scratch::make(root, worker, letter, apart).await?;
            Ok(Side { account: account.clone(), scratch })
        };
        let (direct, proxy) = (side(direct, 'd').await?, side(proxy, 'p').await?);
        Ok(Self { direct, proxy, serial: 0 })
    }

    /// Removes what was made.
    ///
    /// # Errors
    /// When a server does not answer.
    pub(crate) async fn remove(mut self) -> Result<()> {
        self.direct.scratch.remove().await?;
        self.proxy.scratch.remove().await
    }

    /// Runs the program on both, and makes both scratch databases as they were: the next ids too, if that
    /// is to be `exact`, and else only roughly.
    ///
    /// # Errors
    /// When a scratch database can neither be read nor made anew.
    pub(crate) async fn run(
        &mut self,
        program: &Program,
        exact: bool,
    ) -> Result<(Transcript, Transcript)> {
        let (one, other) = tokio::join!(self.direct.run(program), self.proxy.run(program));
        let (one, other) = match (one, other) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(error), _) | (_, Err(error)) => {
                let (direct, proxy) = (&mut self.direct.scratch, &mut self.proxy.scratch);
                both(direct.rebuild(), proxy.rebuild()).await?;
                return Err(error);
            }
        };
        self.serial += 1;
        let xa = program.tags().iter().any(|tag| tag.starts_with("xa"));
        // Ids that have gone apart would make every later program differ.
        let exact = exact || one.contents != other.contents;
        let (serial, direct, proxy) =
            (self.serial, &mut self.direct.scratch, &mut self.proxy.scratch);
        both(direct.next(serial, xa), proxy.next(serial, xa)).await?;
        both(direct.reset(&one.contents, exact), proxy.reset(&other.contents, exact)).await?;
        Ok((one, other))
    }

    /// Runs the program through the proxy only, up to the first answer that `goes_on` does not like.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub(crate) async fn run_proxy(
        &mut self,
        program: &Program,
        goes_on: &dyn Fn(usize, &[Packet]) -> bool,
    ) -> Result<(Transcript, Option<usize>)> {
        let seen = self.proxy.run_while(program, goes_on).await?;
        self.proxy.scratch.reset(&seen.0.contents, false).await?;
        Ok(seen)
    }

    /// Runs the program directly only.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub(crate) async fn run_direct(&mut self, program: &Program) -> Result<Transcript> {
        let seen = self.direct.run(program).await?;
        self.direct.scratch.reset(&seen.contents, false).await?;
        Ok(seen)
    }

    /// Makes both scratch databases exactly as when they were new.
    ///
    /// # Errors
    /// When one can neither be read nor made anew.
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        for scratch in [&mut self.direct.scratch, &mut self.proxy.scratch] {
            let contents = scratch.contents().await?;
            scratch.reset(&contents, true).await?;
        }
        Ok(())
    }
}

/// Waits for both, also where one fails: root must read the whole answer to each of its questions.
async fn both(
    one: impl Future<Output = Result<()>>,
    other: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (one, other) = tokio::join!(one, other);
    one.and(other)
}

/// One side: where its clients log in, and where they work.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) account: Account,
    pub(crate) scratch: Scratch,
}

/// Packets and tables seen on one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// Packets of each login.
    pub(crate) logins: Vec<Vec<Packet>>,
    /// Packets of each step.
    pub(crate) steps: Vec<Vec<Packet>>,
    /// Tables at the end.
    pub(crate) contents: Contents,
    /// Sessions that were still there long after their clients, as the process list showed them.
    pub(crate) left_over: Vec<String>,
}

impl Side {
    /// Runs it, and looks at what is in the tables then.
    ///
    /// # Errors
    /// When the scratch database cannot be read.
    pub(crate) async fn run(&mut self, program: &Program) -> Result<Transcript> {
        self.run_while(program, &|_, _| true).await.map(|(transcript, _)| transcript)
    }

    /// Runs it up to the first step whose answer `goes_on` does not like, and returns that step.
    ///
    /// # Errors
    /// See [`Self::run`].
    pub(crate) async fn run_while(
        &mut self,
        program: &Program,
        goes_on: &dyn Fn(usize, &[Packet]) -> bool,
    ) -> Result<(Transcript, Option<usize>)> {
        let mut stopped = None;
        let mut transcript = Transcript::default();
        let mut clients = Vec::new();
        for login in &program.logins {
            let (client, seen) = Client::log_in(&self.account, login, self.scratch.names()).await;
            transcript.logins.push(seen);
            clients.push(client);
        }
        transcript.steps.resize(program.steps.len(), Vec::new());
        for (index, step) in program.steps.iter().enumerate() {
            let Some(client) = clients.get_mut(step.session) else { continue };
            let mut told = client.act(index, &step.action).await;
            if step.background {
                // Long enough to reach the lock that it waits for.
                sleep(HEADWAY).await;
            } else {
                told.extend(client.drain().await);
            }
            transcript.add(told);
            if !goes_on(index, &transcript.steps[index]) {
                stopped = Some(index);
                break;
            }
        }
        for client in &mut clients {
            transcript.add(client.drain().await);
        }
        let ids: Vec<_> = clients.iter().filter_map(Client::id).collect();
        for client in clients {
            client.quit().await;
        }
        transcript.left_over = self.scratch.settle(&ids).await?;
        transcript.contents = self.scratch.contents().await?;
        Ok((transcript, stopped))
    }
}

impl Transcript {
    /// With `#` in place of new ids.
    pub(crate) fn masked(&self) -> Self {
        let all = |lists: &[Vec<Packet>]| -> Vec<Vec<Packet>> {
            lists.iter().map(|list| list.iter().map(Packet::masked).collect()).collect()
        };
        Self {
            logins: all(&self.logins),
            steps: all(&self.steps),
            contents: self.contents.masked(),
            left_over: self.left_over.clone(),
        }
    }

    /// Whether the same rows are in the tables, in whatever order.
    pub(crate) fn same_rows(&self, other: &Self) -> bool {
        self.contents.rows() == other.contents.rows()
    }

    fn add(&mut self, told: Vec<(usize, Vec<Packet>)>) {
        for (step, packets) in told {
            if let Some(seen) = self.steps.get_mut(step) {
                seen.extend(packets);
            }
        }
    }
}

const HEADWAY: Duration = Duration::from_millis(25);
