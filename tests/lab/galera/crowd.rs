//! A crowd at one node: it holds every connection that the node has to give.

use mysql_async::Conn;

use super::node::STEP;
use super::{ICINGA_PASSWORD, ICINGA_USER, Node};
use crate::error::{LabError, Result};
use crate::sql;
use crate::wait::{Look, wait_until};

/// Connections that leave none for anybody else.
#[derive(Debug)]
pub struct Crowd<'a> {
    node: &'a Node,
    /// The one that is kept for root.
    root: Conn,
    seats: Vec<Conn>,
}

impl<'a> Crowd<'a> {
    pub(super) async fn gather(node: &'a Node, most: u32) -> Result<Self> {
        let mut root = node.connect().await?;
        let_in(&mut root, most).await?;
        let mut seats = vec![root];
        loop {
            let account = sql::account(node.address(), ICINGA_USER, ICINGA_PASSWORD);
            match Conn::new(account).await {
                Ok(conn) => seats.push(conn),
                Err(mysql_async::Error::Server(error)) if error.code == TOO_MANY_CONNECTIONS => {
                    break;
                }
                Err(error) => {
                    let words = format!("{} is not filled: {error}", node.name());
                    return Err(LabError::Refused(words));
                }
            }
        }
        // Somebody who is being turned away may have it for a moment.
        let log = node.log();
        let root = wait_until("the connection for root", STEP, Some(&log), async || {
            match node.connect().await {
                Ok(conn) => Look::Done(conn),
                Err(error) => node.part().look(error),
            }
        });
        Ok(Self { node, root: root.await?, seats })
    }

    /// One of the node's status counters.
    ///
    /// # Errors
    /// When the node does not answer, or has no such number.
    pub async fn counter(&mut self, name: &str) -> Result<u64> {
        self.node.counter_by(&mut self.root, name).await
    }

    /// Makes room for everybody.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn leave(mut self) -> Result<()> {
        let_in(&mut self.root, ROOM_FOR_ALL).await?;
        drop(self.seats);
        Ok(())
    }
}

async fn let_in(root: &mut Conn, seats: u32) -> Result<()> {
    let script = format!("SET GLOBAL max_connections = {seats}");
    sql::script(root, &script, &script, STEP).await
}

/// The server's default.
const ROOM_FOR_ALL: u32 = 151;

/// Source: MariaDB documentation, "MariaDB Error Code Reference".
const TOO_MANY_CONNECTIONS: u16 = 1040;
