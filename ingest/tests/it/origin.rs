//! An upstream that does what a test wants: answers, resets, breaks off, waits. It keeps what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// One request as the origin saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the origin does.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// The connection is closed without an answer.
    Reset,
    /// The head promises `length` bytes, the body ends before.
    BreakOff {
        headers: Vec<(&'static str, String)>,
        length: usize,
        body: Vec<u8>,
    },
    /// Nothing is answered before the origin is let go on.
    Wait(Box<Reaction>),
}

impl Reaction {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn of(media_type: &str, body: &[u8]) -> Self {
        Self::Answer { status: 200, headers: vec![("content-type", media_type.to_owned())], body: body.to_vec() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        match &mut self {
            Self::Answer { headers, .. } | Self::BreakOff { headers, .. } => headers.push((name, value.into())),
            Self::Reset | Self::Wait(_) => {}
        }
        self
    }
}

type React = dyn Fn(&Asked) -> Reaction + Send + Sync;

/// It listens until it is dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    gate: Arc<Semaphore>,
    task: tokio::task::JoinHandle<()>,
}

impl Origin {
    pub(crate) async fn start(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let shared = (Arc::clone(&asked), Arc::clone(&gate), Arc::new(react) as Arc<React>);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, gate, react) = shared.clone();
                connections.spawn(async move { serve(stream, &asked, &gate, &*react).await });
            }
        });
        Self { address, asked, gate, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked since the last call, as `GET /path`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no test panicked here"))
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().expect("no test panicked here").len()
    }

    /// Lets everybody go on who waits, now and later.
    pub(crate) fn go_on(&self) {
        self.gate.add_permits(1000);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection: so each is seen, and a later one meets a closed port when the origin is gone.
async fn serve(mut stream: TcpStream, asked: &Mutex<Vec<Asked>>, gate: &Semaphore, react: &React) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    asked.lock().expect("no test panicked here").push(request.clone());
    let mut reaction = react(&request);
    if let Reaction::Wait(then) = reaction {
        gate.acquire().await.expect("the gate is never closed").forget();
        reaction = *then;
    }
    let (status, headers, length, body) = match reaction {
        Reaction::Answer { status, headers, body } => (status, headers, body.len(), body),
        Reaction::BreakOff { headers, length, body } => (200, headers, length, body),
        Reaction::Reset | Reaction::Wait(_) => return,
    };
    let mut lines = vec![format!("HTTP/1.1 {status} X"), "connection: close".to_owned()];
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        lines.push(format!("content-length: {length}"));
    }
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let answer = lines.join("\r\n") + "\r\n\r\n";
    let mut answer = answer.into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&body);
    }
    // A gateway that goes away before the end is the test's matter.
    stream.write_all(&answer).await.ok();
    stream.shutdown().await.ok();
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(Asked { method, path, headers: lines.map_while(header).collect() })
}
