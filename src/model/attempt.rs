//! An attempt: one HTTP try of a delivery. The job that asks for it and the result that it brings.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::{AccountId, Hook, HookId, Id, Phases};

/// A queue. Every kind of thing that has one has keys of its own, whatever the ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueKey {
    /// The live queue of a hook.
    Hook(HookId),
    /// A replay.
    Replay(Id),
    /// The callflow webhooks of an account.
    OneShot(AccountId),
}

impl QueueKey {
    /// The live queue of a hook, which may stand for an account's callflow webhooks.
    #[must_use]
    pub fn of(hook: &Hook) -> Self {
        if hook.one_shot { Self::OneShot(hook.account) } else { Self::Hook(hook.id) }
    }

    /// The queue's name in the ledger.
    #[must_use]
    pub fn id(self) -> Id {
        match self {
            Self::Hook(id) | Self::Replay(id) => id,
            Self::OneShot(account) => account.one_shot(),
        }
    }
}

/// Which queue's which delivery a job belongs to; comes back with its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey {
    /// The queue.
    pub queue: QueueKey,
    /// The event's offset.
    pub offset: u64,
}

/// One attempt to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// Returned with the result.
    pub key: JobKey,
    /// The hook as it is now.
    pub hook: Arc<Hook>,
    /// The event's record (`Event::decode` reads it); `None`: read it from the log.
    pub record: Option<Bytes>,
    /// 1 for the first try.
    pub attempt: u16,
    /// True for a replayed delivery.
    pub replay: bool,
}

/// What came back from a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// Lower-cased names with their values, for failures; bounded.
    pub headers: Vec<(String, String)>,
    /// First part of the body, for failures; bounded.
    #[serde(serialize_with = "as_text")]
    pub body: Bytes,
}

/// A body as text, with replacement characters where it is none.
fn as_text<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(body))
}

/// Why no HTTP answer came; the texts are KAZOO's `client_error` where it has one (`docs/kazoo/webhooks.md#attempts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TransportError {
    /// Nobody listens.
    Refused = 1,
    /// The name does not resolve.
    NameNotFound = 2,
    /// No connection within the connect timeout.
    ConnectTimeout = 3,
    /// No complete answer within the request timeout.
    Timeout = 4,
    /// The peer reset or closed before an answer.
    Closed = 5,
    /// TLS failed.
    Tls = 6,
    /// The address guard refused the resolved address.
    ForbiddenAddress = 7,
    /// The URI is not usable.
    InvalidUri = 8,
    /// Anything else.
    Other = 9,
    /// The program ended before the attempt did.
    Abandoned = 10,
    /// A head, or what came before one, that is longer than any answer may be.
    TooLong = 11,
    /// The receiver's certificate has expired.
    CertificateExpired = 12,
    /// The receiver's certificate is for another name.
    CertificateName = 13,
    /// Nobody that this machine trusts vouches for the receiver's certificate.
    CertificateAuthority = 14,
    /// The receiver's certificate vouches for itself alone.
    CertificateSelfSigned = 15,
    /// The receiver answered a TLS handshake with something else.
    NotTls = 16,
    /// The receiver answered with something that is no HTTP.
    NotHttp = 17,
    /// The receiver speaks TLS at a URI that begins with `http://`.
    HttpsExpected = 18,
    /// The name server answered that it failed.
    NameServerFailed = 19,
    /// The name server did not answer.
    NameServerTimeout = 20,
    /// No way leads to the address.
    Unreachable = 21,
}

impl TransportError {
    /// The text shown as `client_error`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Refused => "failed_connect: econnrefused",
            Self::NameNotFound => "failed_connect: nxdomain",
            Self::ConnectTimeout => "failed_connect: timeout",
            Self::Timeout => "timeout",
            Self::Closed => "socket_closed_remotely",
            Self::Tls => "failed_connect: tls",
            Self::ForbiddenAddress => "forbidden_address",
            Self::InvalidUri => "invalid_uri",
            Self::Other => "unknown",
            Self::Abandoned => "abandoned",
            Self::TooLong => "response_too_long",
            Self::CertificateExpired => "failed_connect: certificate_expired",
            Self::CertificateName => "failed_connect: certificate_name",
            Self::CertificateAuthority => "failed_connect: certificate_authority",
            Self::CertificateSelfSigned => "failed_connect: certificate_self_signed",
            Self::NotTls => "failed_connect: not_tls",
            Self::NotHttp => "not_http",
            Self::HttpsExpected => "https_expected",
            Self::NameServerFailed => "failed_connect: name_server_failed",
            Self::NameServerTimeout => "failed_connect: name_server_timeout",
            Self::Unreachable => "failed_connect: ehostunreach",
        }
    }

    /// The error behind the byte that the ledger stores.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Refused,
            Self::NameNotFound,
            Self::ConnectTimeout,
            Self::Timeout,
            Self::Closed,
            Self::Tls,
            Self::ForbiddenAddress,
            Self::InvalidUri,
            Self::Other,
            Self::Abandoned,
            Self::TooLong,
            Self::CertificateExpired,
            Self::CertificateName,
            Self::CertificateAuthority,
            Self::CertificateSelfSigned,
            Self::NotTls,
            Self::NotHttp,
            Self::HttpsExpected,
            Self::NameServerFailed,
            Self::NameServerTimeout,
            Self::Unreachable,
        ]
        .into_iter()
        .find(|e| *e as u8 == byte)
    }
}

/// Why no answer came, and what a person needs to know to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub error: TransportError,
    /// One sentence, for example which certificate expired when.
    pub detail: Option<Box<str>>,
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self { error, detail: None }
    }
}

/// What this machine lacked, so that an attempt ended before its first packet could leave.
///
/// The receiver has no part in it: such an attempt uses up no try and never counts towards disabling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OwnFault {
    /// No file descriptor for a connection.
    NoFile = 64,
    /// No place for a name lookup.
    NoLookupPlace = 65,
    /// No memory, or no port, for a connection.
    NoMemory = 66,
    /// No thread.
    NoThread = 67,
    /// The event's record could not be read just now.
    LogUnreadable = 68,
}

impl OwnFault {
    const ALL: [Self; 5] =
        [Self::NoFile, Self::NoLookupPlace, Self::NoMemory, Self::NoThread, Self::LogUnreadable];

    /// The stable text shown as `client_error`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NoFile => "switchhook: no free file descriptor",
            Self::NoLookupPlace => "switchhook: no free place for a name lookup",
            Self::NoMemory => "switchhook: no memory or port for a connection",
            Self::NoThread => "switchhook: no thread",
            Self::LogUnreadable => "switchhook: events log could not be read",
        }
    }

    /// The fault behind the byte that the ledger stores.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| *fault as u8 == byte)
    }
}

/// Why an event can never be sent to a hook, however often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Unsendable {
    /// The URI with the payload in its query is longer than a request may have.
    TooLong = 96,
    /// The payload has no form of a permitted size.
    FormTooLarge = 97,
    /// The event's record in the log is damaged.
    Damaged = 98,
    /// The event holds no payload that can be made for the hook.
    NoPayload = 99,
    /// The event brings a URI with it to which no request can be made.
    UnusableUri = 100,
}

impl Unsendable {
    const ALL: [Self; 5] =
        [Self::TooLong, Self::FormTooLarge, Self::Damaged, Self::NoPayload, Self::UnusableUri];

    /// The stable text shown as `client_error`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TooLong => "unsendable: the URI with its query is too long; use POST",
            Self::FormTooLarge => "unsendable: the form is too large; use the format json",
            Self::Damaged => "unsendable: the event's record is damaged",
            Self::NoPayload => "unsendable: the event has no payload for this hook",
            Self::UnusableUri => "unsendable: no request can be made to the event's URI",
        }
    }

    /// The reason behind the byte that the ledger stores.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == byte)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver answered.
    Answered(Response),
    /// It did not.
    Failed(Failure),
    /// This machine lacked something, and nothing was sent.
    Ours(OwnFault),
    /// The event can never be sent to this hook.
    Unsendable(Unsendable),
    /// The hook's filters or the event's form say that there is nothing to send.
    NothingToSend,
    /// Retention has dropped the event.
    Expired,
    /// The delivery is not this program's to make: it was made up to the point of sending (`model/mode.rs`). What would
    /// have failed already; or how the operator's own receiver answered, which got it instead.
    Shadow(Option<Box<AttemptResult>>),
}

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// HTTP method.
    pub method: String,
    /// Where to; without user and password.
    pub uri: String,
    /// Lower-cased names with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A sample that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The id that the receiver saw; of no event in the log.
    pub delivery_id: String,
    /// `None`: there was nothing that could be sent.
    pub request: Option<SentRequest>,
    /// How it ended; the answer's headers and body are kept of successes too.
    pub result: AttemptResult,
    /// How long it took.
    pub duration_us: u64,
    /// And its phases.
    pub phases: Phases,
}

/// What an attempt's request had beside what its hook, its event and its number say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Seconds from the request's `webhook-timestamp` to the attempt's end.
    pub ago_s: u64,
    /// The attempt's span, when its event has a trace.
    pub span_id: Option<u64>,
}

/// A finished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From the job.
    pub key: JobKey,
    /// The hook's generation when the request was made.
    pub generation: u64,
    /// `None`: there was no request.
    pub sent: Option<Sent>,
    /// Total tries, when the event itself brings them (one-shot hooks).
    pub max_tries: Option<u16>,
    /// How it ended.
    pub result: AttemptResult,
    /// How long it took.
    pub duration_us: u64,
    /// And its phases.
    pub phases: Phases,
    /// When it ended, microseconds since 1970.
    pub ended_us: u64,
}

impl AttemptResult {
    /// A failure without further detail.
    #[must_use]
    pub fn failed(error: TransportError) -> Self {
        Self::Failed(error.into())
    }

    /// The stable text shown as `client_error`: why there was no answer. `None`: there was one, or nothing to send.
    #[must_use]
    pub fn client_error(&self) -> Option<&'static str> {
        match self {
            Self::Failed(failure) => Some(failure.error.text()),
            Self::Ours(fault) => Some(fault.text()),
            Self::Unsendable(reason) => Some(reason.text()),
            Self::Shadow(Some(inner)) => inner.client_error(),
            Self::Answered(_) | Self::NothingToSend | Self::Expired | Self::Shadow(None) => None,
        }
    }

    /// The sentence shown as `client_error_detail`, if there is one.
    #[must_use]
    pub fn client_error_detail(&self) -> Option<&str> {
        match self {
            Self::Failed(failure) => failure.detail.as_deref(),
            Self::Shadow(Some(inner)) => inner.client_error_detail(),
            _ => None,
        }
    }
}
