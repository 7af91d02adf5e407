//! A client of one connection: asks, reads to the end, and compares with what must come.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::account::Answer;
use super::content::{Ask, Expected};
use crate::registry::MANIFEST;

/// Longer than the gateway takes to give up on everybody.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// The next request opens a connection of its own.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Asks under the name `soak/<id>`, which the record keeps.
    pub(crate) async fn ask(&mut self, ask: &Ask, id: u64) -> Answer {
        let answer = match tokio::time::timeout(ANSWER_WAIT, self.exchange(ask, id)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Answer::NoHead(format!("nothing within {ANSWER_WAIT:?}")),
        };
        if matches!(answer, Answer::NoHead(_) | Answer::BrokenBody(_)) {
            self.hang_up();
        }
        answer
    }

    async fn exchange(&mut self, ask: &Ask, id: u64) -> Answer {
        let connection = match self.connected().await {
            Ok(connection) => connection,
            Err(reason) => return Answer::NoHead(reason),
        };
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(header::HOST, "get.example.org")
            .header(header::USER_AGENT, format!("soak/{id}"))
            .header(header::ACCEPT, MANIFEST)
            .body(Empty::new())
            .expect("the request is good");
        let response = match connection.send_request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::NoHead(format!("{error:?}")),
        };
        compare(response, &ask.expected).await
    }

    async fn connected(&mut self) -> Result<&mut SendRequest<Empty<Bytes>>, String> {
        let usable = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.address).await.map_err(|error| format!("connect: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            tokio::spawn(driver);
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| "no connection".to_owned())
    }
}

async fn compare(response: Response<Incoming>, expected: &Expected) -> Answer {
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Answer::BrokenBody(format!("{error:?}")),
    };
    let status = if matches!(expected, Expected::Location(_)) { 302 } else { 200 };
    if head.status.as_u16() != status {
        return Answer::Status(head.status.as_u16());
    }
    let text = |name: &str| header_text(&head.headers, name);
    let fits = match expected {
        Expected::Location(location) => text("location") == Some(location),
        Expected::Head { digest, length } => {
            text("docker-content-digest") == Some(digest) && text("content-length") == Some(&length.to_string())
        }
        Expected::Body(bytes) => body == bytes.as_slice(),
        Expected::Tags(tags) => tags_of(&body).is_some_and(|listed| listed == *tags),
    };
    if fits { Answer::Good } else { Answer::Wrong(format!("{:?}, {} bytes", head.headers, body.len())) }
}

fn tags_of(body: &[u8]) -> Option<BTreeSet<String>> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let listed = body.get("tags")?.as_array()?;
    listed.iter().map(|tag| tag.as_str().map(str::to_owned)).collect()
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
