//! COM_RESET_CONNECTION, which keeps the link.

use std::io;

use tokio::time::timeout;

use crate::session::driver::end::End;
use crate::session::driver::{Cause, Session};
use crate::session::link::dial::LinkError;

impl Session {
    /// COM_RESET_CONNECTION has put every variable back, those we need among them.
    pub(in crate::session) async fn report_state(&mut self) -> Result<(), End> {
        let limit = self.context.limits.link_timeout;
        // A client that does not read its reply gets it later; the daemon's end must not wait for it.
        if let Ok(flushed) = timeout(limit, self.client.flush()).await {
            flushed.map_err(End::ClientFailed)?;
        }
        let Some(link) = self.link.as_mut() else { return Ok(()) };
        let reader = self.reader.as_ref();
        let again = async {
            link.report_state().await?;
            match reader {
                Some(reader) => reader.bind(link).await,
                None => Ok(()),
            }
        };
        match timeout(limit, again).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(LinkError::Io { source, .. })) => self.lose(Cause::Socket(source)),
            Ok(Err(error)) => Err(End::LinkRefused(error)),
            Err(_elapsed) => self.lose(Cause::Socket(io::ErrorKind::TimedOut.into())),
        }
    }
}
