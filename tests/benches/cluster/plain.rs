//! The least that a bulk loop can do, ready bytes over one connection, and the least that a server
//! can do: ready answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, bail, ensure};
use flowsentry::stores::Document;
use serde_json::json;

/// One kept connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// The body of a request that creates `documents`.
pub fn lines(documents: &[Document]) -> Vec<u8> {
    let mut lines = Vec::new();
    for document in documents {
        let target = json!({"_index": document.index.to_string(), "_id": document.id.as_str()});
        let action = json!({"create": target}).to_string();
        for line in [action, document.source.to_string()] {
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
    }
    lines
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    pub fn to(address: &str) -> anyhow::Result<Self> {
        let host = address.strip_prefix("http://").context("the plain loop speaks HTTP alone")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// Sends one request and reads its answer.
    pub fn bulk(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        let head = format!(
            "POST /_bulk HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            lines.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(lines)?;
        let status = self.line()?;
        ensure!(status.starts_with("HTTP/1.1 200"), "the server answers {status}");
        let answer = match self.headers()? {
            Some(length) => self.exactly(length)?,
            None => self.chunks()?,
        };
        let found = answer.windows(14).any(|bytes| bytes == b"\"errors\":false");
        if !found {
            bail!("not all documents were created");
        }
        Ok(())
    }

    /// Reads the next request without looking at it; what it asks for is its first line.
    fn request(&mut self) -> anyhow::Result<String> {
        let asked = self.line()?;
        let length = self.headers()?.unwrap_or(0);
        self.exactly(length)?;
        Ok(asked)
    }

    /// Reads up to the body, and returns its length when it is announced.
    fn headers(&mut self) -> anyhow::Result<Option<usize>> {
        let mut length = None;
        loop {
            let header = self.line()?.to_ascii_lowercase();
            if header.is_empty() {
                return Ok(length);
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the server ended the connection");
        Ok(line.trim_end().to_owned())
    }

    fn exactly(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut answer = Vec::new();
        loop {
            let length = usize::from_str_radix(&self.line()?, 16)?;
            answer.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(answer);
            }
        }
    }
}

/// Serves answers that are ready, to requests of `count` documents each, as long as the program
/// lives; returns the address.
pub fn serve(count: usize) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let address = format!("http://{host}");
    let root = json!({"version": {"number": "8.19.0", "build_flavor": "default"}}).to_string();
    let items = vec![json!({"create": {"status": 201}}); count];
    let created = json!({"errors": false, "items": items}).to_string();
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (root, created) = (answer(&root), answer(&created));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut connection = Connection { stream: BufReader::new(stream), host: host.clone() };
            while let Ok(asked) = connection.request() {
                let answer = if asked.starts_with("GET / ") { &root } else { &created };
                if connection.stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    Ok(address)
}
