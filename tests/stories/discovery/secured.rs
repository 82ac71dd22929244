//! Consul that lets nobody read it without a token, and is spoken to by TLS.

use lab::consul::Consul;
use lab::consul::secured::SecuredConsul;
use lab::proxy::ProxySpec;

use super::*;

/// Whoever locked Consul up, as its documentation says, would have to choose between a token on the wire
/// for all to read and a proxy that knows nothing.
#[tokio::test]
async fn a_consul_with_tls_and_tokens_is_asked_with_both() -> Result<()> {
    if !Consul::available() {
        eprintln!("no Consul on this machine: nothing to ask over HTTP");
        return Ok(());
    }
    let mut lab = Lab::builder().fixed_nodes().start().await?;
    let nodes: Vec<_> = lab.galera.nodes().iter().map(|node| node.address()).collect();
    let consul = SecuredConsul::start(&lab.run, 5, &nodes).await?;
    let told = |token: &str| {
        ProxySpec::new(Vec::new())
            .set("discovery.service", lab::dns::SERVICE)
            .set("discovery.consul", consul.url.as_str())
            .set("discovery.consul_ca_file", consul.ca_file.display().to_string())
            .set("discovery.consul_token", token)
    };
    lab.proxies.push(Proxy::start(&lab.run, &lab.galera, &told(SecuredConsul::TOKEN)).await?);
    let proxy = lab.proxy();
    write(&mut proxy.connect().await?).await?;
    let said = proxy.tool(&["check", "--live"]).await?;
    assert!(said.contains(&format!("Consul names {}", nodes[0])), "{said}");

    let node = lab.run.socket(70, 3306);
    consul.register(node).await?;
    wait_until("the new node named", RECOVERY, Some(&proxy.part().log()), async || {
        match shown(proxy, node).await {
            Ok(shown) if !shown.is_null() => Look::Done(()),
            Ok(shown) => proxy.part().look(shown),
            Err(error) => proxy.part().look(error),
        }
    })
    .await?;

    // Each mistake is told by what it is, and none tells the token.
    let unknown = "7d1c9a52-0b1e-4c38-9f0a-5a4e6f0d2bff";
    let stranger = consul.ca_file.with_file_name("dc1-server-consul-0.pem").display().to_string();
    for (spec, words) in [
        (told(unknown), "answers 403: ACL not found"),
        (told(SecuredConsul::BLIND), "may not name it to this token"),
        (told(unknown).set("discovery.consul_ca_file", stranger), "cannot be trusted"),
    ] {
        let mut spec = spec;
        spec.index = 2;
        let other = Proxy::prepare(&lab.run, &spec).await?;
        let error = other.tool(&["check", "--live"]).await.expect_err("it is a mistake");
        let said = error.to_string();
        assert!(said.contains("Consul does not help") && said.contains(words), "{said}");
        assert!(!said.contains(unknown), "{said}");
    }
    let log = std::fs::read_to_string(proxy.part().log()).expect("it has one");
    assert!(!log.contains(SecuredConsul::TOKEN), "the token is in the log");
    lab.end().await
}
