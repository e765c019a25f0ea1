//! Explains why a request got no answer: whether this machine or the receiver is at fault, a stable code, and a
//! sentence that helps a person to fix the cause.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::time::{Duration, UNIX_EPOCH};

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::client::RequestError;
use super::connect::{NoConnection, TooLong};
use super::guard::NoAddress;
use super::names::NameFault;
use super::trust::SelfSigned;
use crate::model::{AttemptResult, Failure, OwnFault, TransportError};

/// Bytes shown of an answer that is not HTTP.
const EXCERPT: usize = 80;
/// The first bytes of a TLS alert.
const TLS_ALERT: &[u8] = &[0x15, 0x03];

/// The client's bounds for a head (hyper's).
const LONG_HEAD: &str = "answer's head is too long: more than 100 headers, or more than 400 KiB";
const ENDLESS: &str = "answer does not end: more bytes came than any answer may have";
const NO_ROUTE: &str = "no route from this machine to the address";

/// The result of the attempt.
pub(super) fn verdict(error: &RequestError) -> AttemptResult {
    match error {
        RequestError::Connect(NoConnection::NoAddress(NoAddress::Forbidden)) => {
            AttemptResult::failed(TransportError::ForbiddenAddress)
        }
        RequestError::Connect(NoConnection::NoAddress(NoAddress::Name(fault))) => of_name(fault),
        RequestError::Connect(NoConnection::TimedOut) => {
            AttemptResult::failed(TransportError::ConnectTimeout)
        }
        RequestError::Connect(NoConnection::Failed { error, ipv4 }) => of_connect(&**error, *ipv4),
        RequestError::Broken { error, unread } => of_causes(error, Some(unread)),
    }
}

/// The result when an answer broke off or was malformed after its head.
pub(super) fn of_body(error: &hyper::Error) -> AttemptResult {
    of_causes(error, Some(&[]))
}

/// The resource that this machine lacked, if that is the meaning of an error of the operating system.
fn shortage(error: &io::Error) -> Option<OwnFault> {
    match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => Some(OwnFault::NoFile),
        libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL => Some(OwnFault::NoMemory),
        _ => None,
    }
}

fn of_name(fault: &NameFault) -> AttemptResult {
    let error = match fault {
        NameFault::NotFound => TransportError::NameNotFound,
        NameFault::ServerFailed(_) => TransportError::NameServerFailed,
        NameFault::NoAnswer => TransportError::NameServerTimeout,
        NameFault::TooMany => return AttemptResult::Ours(OwnFault::NoLookupPlace),
        NameFault::Local(error) => match shortage(error) {
            Some(fault) => return AttemptResult::Ours(fault),
            None => TransportError::NameServerTimeout,
        },
    };
    failed(error, fault.to_string())
}

/// The result of a failed connection. `ipv4` says whether all addresses were IPv4: then "address not available" means
/// that no port is free; with IPv6 it may only mean that this machine has no IPv6 address.
fn of_connect(error: &(dyn Error + 'static), ipv4: bool) -> AttemptResult {
    let unavailable = |error: &io::Error| error.kind() == ErrorKind::AddrNotAvailable;
    if !ipv4 && causes(error).filter_map(<dyn Error>::downcast_ref).any(unavailable) {
        return failed(TransportError::Unreachable, NO_ROUTE.to_owned());
    }
    of_causes(error, None)
}

/// The result for the causes of an error. `unread` has received bytes that were not understood; `None` means that
/// there was no connection.
fn of_causes(error: &(dyn Error + 'static), unread: Option<&[u8]>) -> AttemptResult {
    for cause in causes(error) {
        if let Some(error) = cause.downcast_ref::<TlsError>() {
            return AttemptResult::Failed(of_tls(error));
        }
        if cause.is::<TooLong>() {
            return failed(TransportError::TooLong, ENDLESS.to_owned());
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return failed(TransportError::TooLong, LONG_HEAD.to_owned());
            }
            if error.is_parse() {
                return AttemptResult::Failed(not_http(error, unread.unwrap_or_default()));
            }
        }
        if let Some(error) = cause.downcast_ref::<io::Error>()
            // The next cause is the TLS error, which is more precise.
            && !error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<TlsError>)
            && let Some(result) = of_system(error, unread.is_none())
        {
            return result;
        }
    }
    match unread {
        // The peer closed the connection before the end of its answer.
        Some(_) => AttemptResult::failed(TransportError::Closed),
        None => failed(TransportError::Other, error.to_string()),
    }
}

/// The causes of an error. An I/O error's `source` skips the error that it wraps, so that one is added here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

fn of_system(error: &io::Error, connecting: bool) -> Option<AttemptResult> {
    // First of all, because what this machine lacks must not count against the receiver.
    if let Some(fault) = shortage(error) {
        return Some(AttemptResult::Ours(fault));
    }
    Some(match error.kind() {
        ErrorKind::ConnectionRefused => AttemptResult::failed(TransportError::Refused),
        ErrorKind::TimedOut if connecting => AttemptResult::failed(TransportError::ConnectTimeout),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            failed(TransportError::Unreachable, NO_ROUTE.to_owned())
        }
        ErrorKind::UnexpectedEof if connecting => {
            failed(TransportError::Closed, "connection closed during the TLS handshake".to_owned())
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => AttemptResult::failed(TransportError::Closed),
        ErrorKind::InvalidData | ErrorKind::InvalidInput if !connecting && error.get_ref().is_some() => {
            failed(TransportError::NotHttp, format!("answer's body is malformed: {error}"))
        }
        _ => return None,
    })
}

fn of_tls(error: &TlsError) -> Failure {
    let (error, detail) = match error {
        TlsError::InvalidCertificate(error) => return of_certificate(error),
        TlsError::InvalidMessage(_) => {
            (TransportError::NotTls, "receiver does not speak TLS at this port; is it http://?".to_owned())
        }
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            (TransportError::Tls, "receiver asks for a client certificate".to_owned())
        }
        TlsError::AlertReceived(alert) => {
            (TransportError::Tls, format!("receiver refused the TLS handshake: {alert:?}"))
        }
        TlsError::PeerIncompatible(why) => {
            (TransportError::Tls, format!("no TLS version or cipher in common with the receiver: {why:?}"))
        }
        other => (TransportError::Tls, format!("TLS: {other}")),
    };
    Failure { error, detail: Some(detail.into()) }
}

fn of_certificate(error: &CertificateError) -> Failure {
    let date = |time: &rustls::pki_types::UnixTime| {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
    };
    let (error, detail) = match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            (TransportError::CertificateExpired, format!("certificate expired on {}", date(not_after)))
        }
        CertificateError::Expired => {
            (TransportError::CertificateExpired, "certificate has expired".to_owned())
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            (TransportError::Tls, format!("certificate is not valid before {}", date(not_before)))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().take(4).map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let detail = format!("certificate is for {names}, not {}", expected.to_str());
            (TransportError::CertificateName, detail)
        }
        CertificateError::NotValidForName => {
            (TransportError::CertificateName, "certificate is for another name".to_owned())
        }
        CertificateError::UnknownIssuer => {
            let detail = "certificate is from an authority that this machine does not trust, or an intermediate \
                certificate is missing";
            (TransportError::CertificateAuthority, detail.to_owned())
        }
        CertificateError::Other(other) if other.0.is::<SelfSigned>() => {
            (TransportError::CertificateSelfSigned, SelfSigned.to_string())
        }
        other => (TransportError::Tls, format!("certificate is not usable: {other}")),
    };
    Failure { error, detail: Some(detail.into()) }
}

/// The bare name in a text like `DnsName("a.example")`.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn not_http(error: &hyper::Error, unread: &[u8]) -> Failure {
    if unread.starts_with(TLS_ALERT) {
        let detail = "receiver speaks TLS at this port; use https://";
        return Failure { error: TransportError::HttpsExpected, detail: Some(detail.into()) };
    }
    let detail = if unread.is_empty() {
        format!("answer is not HTTP: {error}")
    } else {
        format!("answer is not HTTP: \"{}\" ({error})", excerpt(unread))
    };
    Failure { error: TransportError::NotHttp, detail: Some(detail.into()) }
}

/// The first line of some bytes, printable and shortened.
fn excerpt(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii_start();
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let cut = line.get(..line.len().min(EXCERPT)).unwrap_or_default();
    let text = String::from_utf8_lossy(cut);
    text.chars().map(|c| if c.is_control() || c == '"' { '·' } else { c }).collect()
}

fn failed(error: TransportError, detail: String) -> AttemptResult {
    AttemptResult::Failed(Failure { error, detail: Some(detail.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_printable_line() {
        assert_eq!(excerpt(b"\r\nPHP Warning:  x\r\nHTTP/1.1 200 OK\r\n"), "PHP Warning:  x");
        assert_eq!(excerpt(b"\x1b[31m\"red\"\xff"), "·[31m·red·\u{fffd}");
        assert_eq!(excerpt(&[b'x'; 5000]).len(), EXCERPT);
    }

    #[test]
    fn a_shortage_of_this_machine_is_never_blamed_on_the_receiver() {
        for (number, fault) in [
            (libc::EMFILE, OwnFault::NoFile),
            (libc::ENFILE, OwnFault::NoFile),
            (libc::ENOMEM, OwnFault::NoMemory),
            (libc::ENOBUFS, OwnFault::NoMemory),
            (libc::EADDRNOTAVAIL, OwnFault::NoMemory),
        ] {
            let error = io::Error::other(io::Error::from_raw_os_error(number));
            assert_eq!(of_causes(&error, None), AttemptResult::Ours(fault));
        }
    }
}
