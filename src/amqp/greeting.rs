//! The broker's version, read from its greeting. The client library does not expose it.
//!
//! What a quorum queue does with an argument depends on the version, so the version must be known before declaring it.

use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use lapin::tcp::AMQPUriTcpExt;

use super::address::Address;

/// The time limit for a greeting. A working broker greets at once.
const WITHIN: Duration = Duration::from_secs(10);
/// The first bytes that a client of AMQP 0-9-1 sends.
const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The bytes of a frame's header: type, channel and size.
const HEAD: usize = 7;
/// The longest greeting that is read. A usual greeting has about 500 bytes.
const MOST: usize = 64 * 1024;

/// A broker's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// 3 of 3.13.7.
    pub major: u32,
    /// 13 of 3.13.7.
    pub minor: u32,
}

/// Asks the broker for its greeting over a separate connection, which is closed afterwards.
pub async fn server_version(address: &Address) -> Result<ServerVersion, String> {
    match tokio::time::timeout(WITHIN, greeting(address)).await {
        Ok(Ok(greeting)) => {
            version(&greeting).ok_or_else(|| "the broker's greeting names no version".to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no greeting within {} s", WITHIN.as_secs())),
    }
}

async fn greeting(address: &Address) -> std::io::Result<Vec<u8>> {
    let runtime = lapin::runtime::default_runtime().map_err(std::io::Error::other)?;
    let tls = address.tls();
    let mut stream = address.uri().connect_with_config_async(tls.as_ref(), &runtime).await?;
    stream.write_all(HELLO).await?;
    stream.flush().await?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let [_, _, _, size @ ..] = head;
    let size = u32::from_be_bytes(size) as usize;
    let mut greeting = vec![0; size.min(MOST)];
    stream.read_exact(&mut greeting).await?;
    Ok(greeting)
}

/// The value of the key `version` in the server's properties.
fn version(greeting: &[u8]) -> Option<ServerVersion> {
    let key = b"\x07versionS";
    let at = greeting.windows(key.len()).position(|window| window == key)? + key.len();
    let (length, rest) = greeting.get(at..)?.split_first_chunk::<4>()?;
    let text = std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()?;
    let mut numbers = text.split('.').map(str::parse);
    Some(ServerVersion { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_the_servers_properties_and_in_nothing_else() {
        let greeting = |text: &str| {
            let mut bytes =
                b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x40\x07productS\x00\x00\x00\x08RabbitMQ".to_vec();
            bytes.extend_from_slice(b"\x07versionS");
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes
        };
        assert_eq!(version(&greeting("3.10.8")), Some(ServerVersion { major: 3, minor: 10 }));
        assert_eq!(version(&greeting("4.0.5-rc.1")), Some(ServerVersion { major: 4, minor: 0 }));
        assert!(ServerVersion { major: 4, minor: 0 } > ServerVersion { major: 3, minor: 13 });
        let short = greeting("3.10.8");
        for cut in 0..short.len() {
            assert!(version(&short[..cut]).is_none_or(|found| found.major == 3), "cut at {cut}");
        }
        assert_eq!(version(&greeting("next")), None);
    }
}
