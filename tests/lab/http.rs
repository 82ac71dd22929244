//! The least HTTP client that can ask Consul and the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Context, LabError, LogTail, Result};

/// An answer: its status code and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON, null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// `GET path`, within 2 s.
///
/// # Errors
/// When nobody answers, or not in HTTP.
pub async fn fetch(server: SocketAddr, path: &str) -> Result<Answer> {
    exchange(server, "GET", path, "").await
}

/// `PUT path` with this body, within 2 s.
///
/// # Errors
/// When nobody answers, not in HTTP, or with anything but 200.
pub async fn put(server: SocketAddr, path: &str, body: &str) -> Result<()> {
    let answer = exchange(server, "PUT", path, body).await?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(LabError::Refused(format!("PUT http://{server}{path}: {} {}", answer.status, answer.body)))
}

async fn exchange(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer> {
    let what = || format!("{method} http://{server}{path}");
    let answer = tokio::time::timeout(DEADLINE, async {
        let mut stream = TcpStream::connect(server).await?;
        // HTTP/1.0: the server closes at the end, and never sends chunks.
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {server}");
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    });
    let Ok(answer) = answer.await else {
        let (seen, log) = ("no answer".into(), LogTail::default());
        return Err(LabError::Deadline { what: what(), after: DEADLINE, seen, log });
    };
    let answer = answer.context(what)?;
    parse(&answer).ok_or_else(|| LabError::Refused(format!("{}: no HTTP answer", what())))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

const DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// Readiness is read from these answers: a misread status lets a story begin too early.
    #[test]
    fn answers_are_read() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nno primary\n");
        assert_eq!(answer, Some(Answer { status: 503, body: "no primary\n".into() }));
        assert_eq!(parse("5.5.5-10.11-MariaDB"), None);
    }
}
