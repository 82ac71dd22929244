//! What an operator asks the daemon: HTTP and an SQL console.
#[cfg(test)]
pub(crate) mod testing;
