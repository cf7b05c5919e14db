//! Requests as they arrive and replies as they leave, faults included.

use std::io::{BufRead, Read, Write};
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// A larger body is a mistake of the test.
const BODY_LIMIT: u64 = 256 << 20;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// For example `POST`.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// Names and values of the query, decoded.
    pub query: Vec<(String, String)>,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body, inflated where it was compressed.
    pub body: Vec<u8>,
    /// Bytes of the body on the wire.
    pub wire_bytes: usize,
    /// When it was whole.
    pub arrival: Instant,
    is_last: bool,
}

impl Request {
    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The lines of the body as JSON.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line is JSON")).collect()
    }
}

/// Reads the next request; `None` when the client has ended the connection.
pub(super) fn read(reader: &mut impl BufRead, writer: &mut impl Write) -> Option<Request> {
    let line = line(reader)?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let header = self::line(reader)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.split('&').filter(|pair| !pair.is_empty()).map(parameter).collect(),
        headers,
        body: Vec::new(),
        wire_bytes: 0,
        arrival: Instant::now(),
        is_last: version == "HTTP/1.0",
    };
    request.is_last |= has(&request, "connection", "close");
    if has(&request, "expect", "100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let body = body(reader, &request)?;
    (request.wire_bytes, request.arrival) = (body.len(), Instant::now());
    request.body = match has(&request, "content-encoding", "gzip") {
        false => body,
        true => {
            let mut inflated = Vec::new();
            let mut decoder = MultiGzDecoder::new(body.as_slice()).take(BODY_LIMIT);
            decoder.read_to_end(&mut inflated).expect("a body that is called gzip is gzip");
            inflated
        }
    };
    Some(request)
}

fn has(request: &Request, name: &str, value: &str) -> bool {
    request.header(name).is_some_and(|text| text.eq_ignore_ascii_case(value))
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.strip_suffix('\n').map(|text| text.trim_end_matches('\r').to_owned())
}

fn body(reader: &mut impl BufRead, request: &Request) -> Option<Vec<u8>> {
    if !has(request, "transfer-encoding", "chunked") {
        let length = request.header("content-length").map_or(Some(0), |text| text.parse().ok())?;
        return exactly(reader, length);
    }
    let mut body = Vec::new();
    loop {
        let head = line(reader)?;
        let length = u64::from_str_radix(head.split(';').next()?.trim(), 16).ok()?;
        if length == 0 {
            // Trailers, up to the empty line.
            while !line(reader)?.is_empty() {}
            return Some(body);
        }
        body.extend(exactly(reader, length)?);
        line(reader)?;
    }
}

fn exactly(reader: &mut impl BufRead, length: u64) -> Option<Vec<u8>> {
    assert!(length <= BODY_LIMIT, "a body of {length} bytes");
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == length).then_some(bytes)
}

fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name), decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (bytes, rest) = match (first, byte) {
            (b'%', Some(byte)) => ([bytes, vec![byte]].concat(), &after[2..]),
            (b'+', _) => ([bytes, vec![b' ']].concat(), after),
            _ => ([bytes, vec![first]].concat(), after),
        };
    }
    String::from_utf8(bytes).expect("a query is text")
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// The whole answer; the connection stays as the client wishes.
    Whole,
    /// The whole answer in pieces; the connection stays.
    Chunked,
    /// The whole answer, then the connection ends.
    Last,
    /// So many bytes of the body, then the connection ends.
    Cut(usize),
    /// The connection ends without an answer.
    Nothing,
    /// No answer, and the connection stays.
    Hang,
}

impl Reply {
    /// Bytes under a content type.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into(), end: End::Whole }
    }

    /// JSON.
    #[expect(clippy::needless_pass_by_value, reason = "reads well with `json!`")]
    pub fn json(status: u16, body: Value) -> Self {
        Self::raw(status, "application/json", body.to_string())
    }

    /// The page of a proxy.
    pub fn html(status: u16) -> Self {
        let page = format!(
            "<html>\r\n<head><title>{status} from the proxy</title></head>\r\n<body>\r\n\
             <center><h1>{status} from the proxy</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Self::raw(status, "text/html", page)
    }

    /// Ends the connection without an answer.
    pub fn close() -> Self {
        Self { end: End::Nothing, ..Self::raw(500, "text/plain", "") }
    }

    /// Answers nothing and keeps the connection until the client gives up.
    pub fn hang() -> Self {
        Self { end: End::Hang, ..Self::close() }
    }

    /// Announces the whole body, sends `bytes` bytes of it and ends the connection.
    pub fn cut_after(self, bytes: usize) -> Self {
        Self { end: End::Cut(bytes), ..self }
    }

    /// Ends the connection after the answer, and says so.
    pub fn last(self) -> Self {
        Self { end: End::Last, ..self }
    }

    /// Sends the body in pieces, without its length.
    pub fn chunked(self) -> Self {
        Self { end: End::Chunked, ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn hangs(&self) -> bool {
        matches!(self.end, End::Hang)
    }

    /// The bytes of the answer to `request`, and whether the connection ends after them.
    pub(super) fn render(&self, request: &Request) -> (Vec<u8>, bool) {
        if matches!(self.end, End::Nothing | End::Hang) {
            return (Vec::new(), true);
        }
        let is_last = request.is_last || matches!(self.end, End::Last | End::Cut(_));
        let mut bytes = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        let length = match self.end {
            End::Chunked => "Transfer-Encoding: chunked".to_owned(),
            End::Whole | End::Last | End::Cut(_) | End::Nothing | End::Hang => {
                format!("Content-Length: {}", self.body.len())
            }
        };
        // An answer that is cut is meant to look like an accident.
        let is_announced = is_last && !matches!(self.end, End::Cut(_));
        let connection = if is_announced { "close" } else { "keep-alive" };
        bytes.extend(format!("{length}\r\nConnection: {connection}\r\n\r\n").into_bytes());
        if request.method != "HEAD" {
            bytes.extend(self.sent_body());
        }
        (bytes, is_last)
    }

    fn sent_body(&self) -> Vec<u8> {
        let End::Chunked = self.end else {
            let End::Cut(bytes) = self.end else { return self.body.clone() };
            return self.body[..bytes.min(self.body.len())].to_vec();
        };
        let mut pieces = Vec::new();
        // Small pieces, so that a reader meets their borders.
        for piece in self.body.chunks(1_000) {
            pieces.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            pieces.extend_from_slice(piece);
            pieces.extend_from_slice(b"\r\n");
        }
        pieces.extend_from_slice(b"0\r\n\r\n");
        pieces
    }
}
