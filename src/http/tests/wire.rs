//! Tests through the socket: sizes, endings.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::http::Server;

async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the listener accepts");
    stream.write_all(request).await.expect("the request is taken");
    let mut answer = Vec::new();
    // A refused upload may be followed by a reset of the connection.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_api_answers_on_its_socket_until_it_is_stopped() {
    let options = ApiOptions { max_body_bytes: 1000, ..ApiOptions::default() };
    let test = TestApi::start_with(options).await;
    let server = Server::bind(test.api.clone(), None).unwrap();
    let (address, stop, tasks) = (server.address(), Stop::new(), Tasks::new());
    let running = tasks.spawn("http", server.run(stop.clone()));

    let ok = exchange(address, b"GET /v2/webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(ok.starts_with("HTTP/1.1 200") && ok.contains("\"status\":\"success\""), "{ok}");
    let lost =
        exchange(address, b"GET /nothing?a=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(lost.starts_with("HTTP/1.1 404"), "{lost}");

    let announced =
        b"PUT /v2/api_auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n";
    let refused = exchange(address, announced).await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains("maxSize"), "{refused}");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let head =
        "PUT /v2/api_auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let refused = exchange(address, format!("{head}{chunk}").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");

    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let test = TestApi::start().await;
    let first = Server::bind(test.api.clone(), None).unwrap();
    let options = ApiOptions { listen: first.address(), ..ApiOptions::default() };
    let mut second = test.api.clone();
    second.options = Arc::new(options);
    let error = Server::bind(second, None).unwrap_err().to_string();
    assert!(error.contains(&first.address().to_string()), "{error}");
}
