//! Waits for the sockets of a session.

use std::io;
use std::task::{Context, Poll};

use crate::session::engine::Machine;
use crate::session::link::Link;
use crate::session::transport::read_low_water::LowWater;
use crate::session::transport::wire::Wire;
use crate::session::transport::write_coalescing::Withhold;

/// Result of a wait.
#[derive(Debug)]
pub(super) enum Event {
    /// The client sent so many bytes, or its end of stream, or its socket failed.
    Client(io::Result<usize>),
    /// Bytes that had piled up are written, so more may be moved.
    Flushed,
    /// The link sent so many bytes, or its end of stream, or its socket failed.
    Link(io::Result<usize>),
    /// A reader is to look whether there is a better node, or a writer has waited long enough.
    Look,
    /// The topology or the phase changed.
    Directives,
    /// The way back after a loss took as long as a client may be held.
    TooLate,
}

/// Both sockets of a session, and what says when they are to be read and written.
pub(super) struct Wires<'a> {
    pub(super) client: &'a mut Wire,
    pub(super) link: Option<&'a mut Link>,
    pub(super) machine: &'a Machine,
    pub(super) leaving: bool,
    /// The client sends nothing more.
    pub(super) half_closed: bool,
    pub(super) withhold: &'a mut Withhold,
    pub(super) low_water: &'a mut LowWater,
}

impl Wires<'_> {
    /// Writes what is pending, then reads where there is room. One poll of both sockets; every branch
    /// that returns `Pending` has left its waker.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Self { client, link, machine, leaving, half_closed, withhold, low_water } = self;
        withhold.poll(cx);
        let mut flushed = false;
        if !client.output.is_empty()
            && !withhold.waits()
            && let Poll::Ready(result) = client.poll_flush(cx)
        {
            match result {
                Ok(()) => flushed = true,
                Err(error) => return Poll::Ready(Event::Client(Err(error))),
            }
        }
        let may_move_up = client.output.len() < MOST_UNREAD && !*half_closed;
        let Some(link) = link else {
            if flushed && (!client.input.is_empty() || *leaving) {
                return Poll::Ready(Event::Flushed);
            }
            // A flush that is not over has left its waker.
            return if may_move_up {
                client.poll_fill(cx).map(Event::Client)
            } else {
                Poll::Pending
            };
        };
        if !link.wire.output.is_empty()
            && let Poll::Ready(result) = link.wire.poll_flush(cx)
        {
            flushed = true;
            if let Err(error) = result {
                // The node has closed its ear, often with a reason that is still to be read.
                link.deaf = true;
                // The kernel tells of it once: to whoever reads then, the end looks like one in order.
                link.reset = error.kind() == io::ErrorKind::ConnectionReset;
                link.wire.output.clear();
            }
        }
        let may_move_down = client.output.is_empty() || withhold.waits();
        if may_move_down {
            low_water.poll(cx, &mut link.wire);
        }
        let more_to_move = !client.input.is_empty() && !machine.awaits_reply()
            || !link.wire.input.is_empty() && client.output.is_empty();
        if flushed && (more_to_move || *leaving) {
            return Poll::Ready(Event::Flushed);
        }
        let awaits_reply = machine.awaits_reply();
        // The side that is more likely to have something is asked first.
        if awaits_reply
            && may_move_down
            && let Poll::Ready(result) = link.wire.poll_fill(cx)
        {
            return Poll::Ready(Event::Link(result));
        }
        if may_move_up
            && link.wire.output.is_empty()
            && (client.input.is_empty() || !awaits_reply)
            && let Poll::Ready(result) = client.poll_fill(cx)
        {
            return Poll::Ready(Event::Client(result));
        }
        if !awaits_reply
            && may_move_down
            && let Poll::Ready(result) = link.wire.poll_fill(cx)
        {
            return Poll::Ready(Event::Link(result));
        }
        Poll::Pending
    }
}

/// How many bytes may lie ready for a client that goes on sending: our own answers need no link, so
/// nothing else would bound them.
pub(super) const MOST_UNREAD: usize = 64 * 1024;
