//! Sends what reads to one server and what writes to another.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(crate) struct Splitter {
    pub(crate) address: SocketAddr,
}

impl Splitter {
    pub(crate) async fn start(readers: SocketAddr, writers: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let none = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(none).no_proxy().build().expect("a client");
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let client = client.clone();
                let service = service_fn(move |request| passed_on(client.clone(), request, readers, writers));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address }
    }
}

async fn passed_on(
    client: reqwest::Client,
    request: Request<Incoming>,
    readers: SocketAddr,
    writers: SocketAddr,
) -> reqwest::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    // Asking how far an upload has come is a part of writing.
    let reads = [Method::GET, Method::HEAD].contains(&head.method) && !head.uri.path().contains("/blobs/uploads/");
    let target = if reads { readers } else { writers };
    let body = body.collect().await.map_or_else(|_broken| Bytes::new(), http_body_util::Collected::to_bytes);
    // The host that the client named goes along: the registry writes it into its answers.
    let passed = client.request(head.method, format!("http://{target}{}", head.uri)).headers(head.headers).body(body);
    let answer = passed.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Full::new(answer.bytes().await?));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().remove("transfer-encoding");
    Ok(response)
}
