//! A relay between the proxy and a node, that breaks one link of one program at a chosen request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab::error::{LabError, Result};
use lab::faults::Faults;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How a link breaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cut {
    /// The request does not reach the node.
    Before,
    /// The node gets the request, and the link is gone before it answers.
    During,
    /// The node's answer is lost.
    After,
    /// So many bytes of the answer arrive.
    Within(usize),
    /// The node gets the request, and is killed.
    Kill,
}

/// One break: at which request of the program's links, and how.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Fault {
    pub(crate) request: usize,
    pub(crate) cut: Cut,
}

/// Faults to come on the links of each database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans {
    plans: Arc<Mutex<HashMap<String, Plan>>>,
    victim: Arc<Victim>,
}

/// The node that is to be killed.
#[derive(Debug, Default)]
struct Victim {
    node: Mutex<Option<SocketAddr>>,
    named: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    requests: usize,
    fault: Option<Fault>,
}

impl Plans {
    /// Counts the requests of `database` anew, with a fault to come.
    pub(crate) fn begin(&self, database: &str, fault: Option<Fault>) {
        self.with(|all| all.insert(database.to_owned(), Plan { requests: 0, fault }));
    }

    /// How many requests there were.
    pub(crate) fn requests(&self, database: &str) -> usize {
        self.with(|all| all.get(database).map_or(0, |plan| plan.requests))
    }

    /// A request of `database` has come: how its link breaks now, if it does.
    fn request(&self, database: &str) -> Option<Cut> {
        self.with(|all| {
            let plan = all.get_mut(database)?;
            plan.requests += 1;
            let now = |fault: &mut Fault| fault.request == plan.requests;
            plan.fault.take_if(now).map(|fault| fault.cut)
        })
    }

    /// Waits for the node that is to be killed.
    pub(crate) async fn victim(&self) -> SocketAddr {
        loop {
            let node = self.victim.node.lock().unwrap_or_else(PoisonError::into_inner).take();
            match node {
                Some(node) => return node,
                None => self.victim.named.notified().await,
            }
        }
    }

    fn kill(&self, node: SocketAddr) {
        *self.victim.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        self.victim.named.notify_one();
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Plan>) -> T) -> T {
        work(&mut self.plans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Leads whatever the programs of `group` open to `service` over `relay`, an address that is free.
///
/// # Errors
/// Without root, or when the address is taken.
pub(crate) async fn between(
    faults: &Faults,
    group: u32,
    service: SocketAddr,
    relay: SocketAddr,
    plans: &Plans,
) -> Result<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(relay).await;
    let listener = listener.map_err(|error| LabError::Refused(format!("{relay}: {error}")))?;
    faults.lead(group, service, relay).await?;
    let plans = plans.clone();
    let task = tokio::spawn(async move {
        let mut links = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            let plans = plans.clone();
            links.spawn(async move {
                let _ = carry(near, service, &plans).await;
            });
            while links.try_join_next().is_some() {}
        }
    });
    Ok(AbortOnDropHandle::new(task))
}

/// Carries bytes both ways until one side closes, or the link is to break: both sockets are closed then.
async fn carry(mut near: TcpStream, service: SocketAddr, plans: &Plans) -> std::io::Result<()> {
    let mut far = TcpStream::connect(service).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut database = None;
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let request = &up[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                let cut = match &database {
                    None => {
                        database = login_database(request);
                        None
                    }
                    Some(database) => plans.request(database),
                };
                if cut == Some(Cut::Before) {
                    return Ok(());
                }
                far.write_all(request).await?;
                if cut == Some(Cut::Kill) {
                    plans.kill(service);
                    continue;
                }
                let Some(cut) = cut.filter(|cut| *cut != Cut::During) else {
                    if cut.is_some() {
                        return Ok(());
                    }
                    continue;
                };
                let answer = timeout(PATIENCE, far.read(&mut down)).await;
                let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
                if let Cut::Within(bytes) = cut {
                    near.write_all(&down[..answer.min(bytes)]).await?;
                }
                return Ok(());
            }
            read = far.read(&mut down) => {
                let answer = &down[..read?];
                if answer.is_empty() {
                    return Ok(());
                }
                near.write_all(answer).await?;
            }
        }
    }
}

/// The scratch database that a login names.
fn login_database(login: &[u8]) -> Option<String> {
    let start = login.windows(PREFIX.len()).position(|bytes| bytes == PREFIX)?;
    let name = login.get(start..start + PREFIX.len() + 2)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

const PREFIX: &[u8] = b"orc_p";

/// Time for a lock to be waited for.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_once_at_its_request() {
        let plans = Plans::default();
        plans.begin("orc_p01", Some(Fault { request: 2, cut: Cut::After }));
        assert_eq!(plans.request("orc_p01"), None);
        assert_eq!(plans.request("orc_p01"), Some(Cut::After));
        assert_eq!(plans.request("orc_p01"), None);
        assert_eq!(plans.request("orc_p02"), None, "another program's link");
        assert_eq!(plans.requests("orc_p01"), 3);
    }

    #[test]
    fn a_login_names_its_program() {
        assert_eq!(login_database(b"..oracle\0orc_p07\0mysql"), Some("orc_p07".into()));
        assert_eq!(login_database(b"..ido_proxy\0\0"), None);
    }
}
