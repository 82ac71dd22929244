//! The lab command.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let start = std::time::Instant::now();
    let run = std::sync::Arc::new(lab::run::Run::begin().unwrap());
    println!("{}", run.number());
    let galera = lab::galera::Galera::start(&run, &Default::default()).await;
    match &galera { Err(e) => println!("{e}"), Ok(_) => println!("up {:?}", start.elapsed()) }
    if std::env::args().nth(1).is_some() { std::future::pending::<()>().await }
}
