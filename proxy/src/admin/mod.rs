//! What an operator asks the daemon: HTTP and an SQL console.
