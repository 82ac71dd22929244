//! How the proxy ends, and starts again.
use lab::plain::Plain;
use lab::proxy::{Proxy, ProxySpec};
use lab::run::Run;
use std::sync::Arc;

#[tokio::test]
async fn smoke() -> lab::Result<()> {
    let run = Arc::new(Run::begin()?);
    let server = Plain::start(&run, &[]).await?;
    let proxy = Proxy::start_single(&run, &server, &ProxySpec::single(&[server.address()])).await?;
    let mut conn = proxy.connect().await?;
    let one: u8 = lab::sql::value(&mut conn, "SELECT 1").await?;
    assert_eq!(one, 1);
    proxy.part().term().await
}
