//! A name server on 127.0.0.1 that answers queries as a test decides, or not at all.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use switchhook::tasks::{Stop, Tasks};

const QUESTION_AT: usize = 12;
const TYPE_A: u16 = 1;

/// The answer for a name.
#[derive(Debug, Clone)]
pub enum Says {
    /// These addresses with a TTL in seconds. Queries for other types than A get no address.
    Addresses(Vec<Ipv4Addr>, u32),
    /// No address, with this response code: 2 is SERVFAIL, 3 is NXDOMAIN.
    Code(u8),
    /// No answer at all.
    Nothing,
}

/// A running name server. It closes its port when dropped.
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    serving: Stop,
}

impl NameServer {
    /// Listens on a free UDP port; `says` decides the answer to each query.
    pub async fn start(says: impl Fn(&str) -> Says + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(HashMap::new())));
        let (serving, counted) = (Stop::new(), Arc::clone(&asked));
        let stopped = serving.clone();
        let answering = async move {
            let mut packet = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let Some((name, kind, end)) = question(&packet[..length]) else { continue };
                *counted.lock().unwrap().entry(name.clone()).or_insert(0) += 1;
                if let Some(answer) = answer(&packet[..end], kind, &says(&name)) {
                    drop(socket.send_to(&answer, from).await);
                }
            }
        };
        Tasks::new().spawn("name server", async move {
            stopped.run_until_cancelled_owned(answering).await.unwrap_or(());
        });
        Self { address, asked, serving }
    }

    /// The setting that makes the program use this name server.
    pub fn setting(&self) -> String {
        format!("delivery.nameservers=[\"{}\"]", self.address)
    }

    /// The number of queries for a name so far.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.cancel();
    }
}

/// The name and type in a query, and the end of its question section.
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (QUESTION_AT, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = packet.get(at..at + 2)?;
    Some((labels.join("."), u16::from_be_bytes([kind[0], kind[1]]), at + 4))
}

/// Encodes the response to a query (its header and question section).
fn answer(asked: &[u8], kind: u16, says: &Says) -> Option<Vec<u8>> {
    let (code, addresses, ttl) = match says {
        Says::Addresses(addresses, ttl) if kind == TYPE_A => (0, addresses.as_slice(), *ttl),
        Says::Addresses(..) => (0, [].as_slice(), 0),
        Says::Code(code) => (*code, [].as_slice(), 0),
        Says::Nothing => return None,
    };
    let mut packet = asked.to_vec();
    // A response, recursion desired and available.
    packet[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    let answers = u16::try_from(addresses.len()).unwrap();
    packet[4..12].copy_from_slice(&[0, 1, answers.to_be_bytes()[0], answers.to_be_bytes()[1], 0, 0, 0, 0]);
    for address in addresses {
        // The name of the question, type A, class IN.
        packet.extend([0xc0, 0x0c, 0, 1, 0, 1]);
        packet.extend(ttl.to_be_bytes());
        packet.extend([0, 4]);
        packet.extend(address.octets());
    }
    Some(packet)
}
