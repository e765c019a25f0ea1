//! A websocket client: sends frames and returns received ones.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// The smallest receive buffer that holds a handshake in one piece.
const NARROW_BYTES: u32 = 4096;

/// One connection.
pub struct Client {
    stream: WebSocketStream<TcpStream>,
    /// Events that arrived before an awaited reply.
    events: VecDeque<Value>,
    token: String,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame of this code.
    Code(u16),
    /// Without one.
    Lost,
}

impl Client {
    /// Connects. Every frame will have the token, as those of Monster UI have.
    pub async fn connect(address: SocketAddr, token: &str) -> Self {
        Self::try_connect(address, &[]).await.map(|client| client.with_token(token)).unwrap()
    }

    /// Likewise, with a small receive buffer, so that little can be in transit while the client does not read.
    pub async fn connect_narrow(address: SocketAddr, token: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(NARROW_BYTES).unwrap();
        Self::over(socket, address, &[]).await.map(|client| client.with_token(token)).unwrap()
    }

    /// Connects with further headers; the error is the status of a response that is not an upgrade.
    pub async fn try_connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        Self::over(TcpSocket::new_v4().unwrap(), address, headers).await
    }

    async fn over(
        socket: TcpSocket,
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/socket?a=b").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = socket.connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Self { stream, events: VecDeque::new(), token: String::new() }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("no websocket at {address}: {error}"),
        }
    }

    /// The same client, whose frames have a token.
    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Sends a text unchanged.
    pub async fn send(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends any message.
    pub async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Sends a request and waits for its reply. Events that arrive before it are kept.
    pub async fn ask(&mut self, mut frame: Value) -> Value {
        let id = format!("{:032x}", rand::random::<u128>());
        frame["request_id"] = id.clone().into();
        if !self.token.is_empty() {
            frame["auth_token"] = self.token.clone().into();
        }
        self.send(frame.to_string()).await;
        loop {
            let frame = self.frame().await.expect("a reply");
            match frame["action"].as_str() {
                Some("reply") => {
                    assert_eq!(frame["request_id"], id.as_str(), "{frame}");
                    return frame;
                }
                _ => self.events.push_back(frame),
            }
        }
    }

    /// Subscribes; returns the data of the reply.
    pub async fn subscribe(&mut self, account: &str, binding: &str, start: Value) -> Value {
        let mut data = json!({"account_id": account, "binding": binding});
        data.as_object_mut().unwrap().extend(start.as_object().cloned().unwrap_or_default());
        let reply = self.ask(json!({"action": "subscribe", "data": data})).await;
        assert_eq!(reply["status"], "success", "{reply}");
        reply["data"].clone()
    }

    /// The next frame, or how the connection ended.
    pub async fn frame(&mut self) -> Result<Value, End> {
        let reading = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(close)))) => return Err(End::Code(close.code.into())),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(End::Lost),
                }
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("a frame in time")
    }

    /// The next event, or how the connection ended.
    pub async fn try_event(&mut self) -> Result<Value, End> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        let frame = self.frame().await?;
        assert_eq!(frame["action"], "event", "{frame}");
        Ok(frame)
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        self.try_event().await.expect("an event")
    }

    /// The next events.
    pub async fn events(&mut self, n: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(n);
        while events.len() < n {
            events.push(self.event().await);
        }
        events
    }

    /// Reads until the connection ends; returns how it ended.
    pub async fn ended(&mut self) -> End {
        loop {
            if let Err(end) = self.frame().await {
                return end;
            }
        }
    }

    /// The bare connection, to be read byte by byte. Nothing may be in transit when this is called.
    pub fn slow(self) -> Slow {
        assert!(self.events.is_empty(), "{:?}", self.events);
        Slow { stream: self.stream.into_inner(), read: Vec::new(), token: self.token }
    }

    /// Asserts that nothing came before the reply to a ping that is sent now: all events that the server had
    /// for this client were read before.
    pub async fn has_no_more(&mut self) {
        self.ask(json!({"action": "ping"})).await;
        assert!(self.events.is_empty(), "{:?}", self.events);
    }
}

/// A client that hardly reads.
pub struct Slow {
    stream: TcpStream,
    read: Vec<u8>,
    token: String,
}

impl Slow {
    /// Reads one byte, if one has come.
    pub fn read_a_byte(&mut self) {
        let mut byte = [0];
        if let Ok(1) = self.stream.try_read(&mut byte) {
            self.read.extend(byte);
        }
    }

    /// The number of bytes read so far.
    pub fn bytes(&self) -> usize {
        self.read.len()
    }

    /// The same connection, read as fast as possible from now on.
    pub async fn quick(self) -> Client {
        let stream = WebSocketStream::from_partially_read(self.stream, self.read, Role::Client, None).await;
        Client { stream, events: VecDeque::new(), token: self.token }
    }
}

/// The number that `call_event` gave the event of a frame.
pub fn number(frame: &Value) -> u64 {
    frame["data"]["caller_id_number"].as_str().unwrap().parse().unwrap()
}
