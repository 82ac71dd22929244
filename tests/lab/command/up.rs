//! `lab up`

use std::process::ExitCode;

use lab::Result;

use super::{Size, print_addresses};

/// The options of `lab up`.
#[derive(clap::Args, Debug)]
pub(super) struct Up {
    #[command(flatten)]
    size: Size,
    /// Leave Icinga out
    #[arg(long)]
    no_icinga: bool,
    /// Leave the proxy out: Icinga writes to node 1
    #[arg(long)]
    no_proxy: bool,
}

impl Up {
    /// Brings everything up and stays until the command is interrupted.
    pub(super) async fn execute(self) -> Result<ExitCode> {
        let lab = self.size.start(!self.no_proxy, !self.no_icinga).await?;
        print_addresses(&lab);
        println!("  Ctrl-C ends all of it.");
        std::future::pending().await
    }
}
