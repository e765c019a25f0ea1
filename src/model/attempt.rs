//! An attempt: one HTTP request of a delivery. The job that orders it, and its result.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::{AccountId, EventOffset, Hook, HookId, Phases, QueueId, ReplayId};

/// The key of a queue. Keys of different kinds are different even if their ids are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueKey {
    /// The live queue of a hook.
    Hook(HookId),
    /// A replay.
    Replay(ReplayId),
    /// The callflow webhooks of an account.
    OneShot(AccountId),
}

impl QueueKey {
    /// The live queue of a hook. A one-shot hook uses the queue of its account's callflow webhooks.
    #[must_use]
    pub fn of(hook: &Hook) -> Self {
        if hook.one_shot { Self::OneShot(hook.account) } else { Self::Hook(hook.id) }
    }

    /// The queue's name in the ledger.
    #[must_use]
    pub fn id(self) -> QueueId {
        match self {
            Self::Hook(hook) => hook.into(),
            Self::Replay(replay) => replay.into(),
            Self::OneShot(account) => account.one_shot().into(),
        }
    }
}

/// The queue and delivery of a job; returned with the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobKey {
    /// The queue.
    pub queue: QueueKey,
    /// The event's offset.
    pub offset: EventOffset,
}

/// An attempt to make.
#[derive(Debug, Clone)]
pub struct Job {
    /// Returned with the result.
    pub key: JobKey,
    /// The present hook.
    pub hook: Arc<Hook>,
    /// The event's record (for `Event::decode`); `None` when it must be read from the log.
    pub record: Option<Bytes>,
    /// 1 for the first try.
    pub attempt: u16,
    /// True for a replayed delivery.
    pub replay: bool,
}

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// Headers with names in lower case, for failures; bounded.
    pub headers: Vec<(String, String)>,
    /// Start of the body, for failures; bounded.
    #[serde(serialize_with = "as_text")]
    pub body: Bytes,
}

/// A body as text, with replacement characters for invalid UTF-8.
fn as_text<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(body))
}

/// Why no HTTP answer came. The texts are KAZOO's `client_error` where KAZOO has one
/// (`docs/kazoo/webhooks.md#attempts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TransportError {
    /// The connection was refused.
    Refused = 1,
    /// The name does not resolve.
    NameNotFound = 2,
    /// No connection within the connect timeout.
    ConnectTimeout = 3,
    /// No complete answer within the request timeout.
    Timeout = 4,
    /// The peer closed or reset the connection before an answer.
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
    /// The head of the answer, or the bytes before it, were longer than allowed.
    TooLong = 11,
    /// The receiver's certificate has expired.
    CertificateExpired = 12,
    /// The receiver's certificate is for another name.
    CertificateName = 13,
    /// The receiver's certificate is not from an authority that this machine trusts.
    CertificateAuthority = 14,
    /// The receiver's certificate is self-signed.
    CertificateSelfSigned = 15,
    /// The receiver answered the TLS handshake with something else.
    NotTls = 16,
    /// The receiver's answer was not HTTP.
    NotHttp = 17,
    /// The receiver expects TLS, but the URI starts with `http://`.
    HttpsExpected = 18,
    /// The name server answered with a failure.
    NameServerFailed = 19,
    /// The name server did not answer.
    NameServerTimeout = 20,
    /// There is no route to the address.
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

    /// Decodes the byte in the ledger.
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

/// Why no answer came, with details that help to fix the cause.
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

/// A resource that this machine lacked, so that an attempt ended before its first packet was sent.
///
/// The receiver is not at fault: such an attempt does not use up a try and does not count towards disabling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OwnFault {
    /// No file descriptor for a connection.
    NoFile = 64,
    /// Too many name lookups under way.
    NoLookupPlace = 65,
    /// No memory, or no port, for a connection.
    NoMemory = 66,
    /// No thread.
    NoThread = 67,
    /// The event's record could not be read at that time.
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

    /// Decodes the byte in the ledger; `None` if it does not stand for a fault of this machine.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| *fault as u8 == byte)
    }
}

/// Why an event can never be sent to a hook, so that retrying is useless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Unsendable {
    /// The URI with the payload in its query is longer than a request may have.
    TooLong = 96,
    /// The payload as a form would exceed the permitted size.
    FormTooLarge = 97,
    /// The event's record in the log is damaged.
    Damaged = 98,
    /// No payload can be made from the event for the hook.
    NoPayload = 99,
    /// The event contains a URI to which no request can be made.
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

    /// Decodes the byte in the ledger; `None` when it is no such reason.
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
    /// No answer came.
    Failed(Failure),
    /// This machine lacked a resource, and nothing was sent.
    Ours(OwnFault),
    /// The event can never be sent to this hook.
    Unsendable(Unsendable),
    /// The hook's filters or the event's content leave nothing to send.
    NothingToSend,
    /// Retention has removed the event.
    Expired,
    /// The delivery is not this program's to make: it was made up to the point of sending (`model/mode.rs`). What
    /// would have failed already; or how the operator's own receiver answered, which got it instead.
    Shadow(Option<Box<AttemptResult>>),
}

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// HTTP method.
    pub method: String,
    /// Target, without user and password.
    pub uri: String,
    /// Headers with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// A sample event that was sent as a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The id sent to the receiver; it belongs to no event in the log.
    pub delivery_id: String,
    /// `None` when nothing could be sent.
    pub request: Option<SentRequest>,
    /// How the attempt ended, with the answer's headers and body for successes too.
    pub result: AttemptResult,
    /// How long it took.
    pub duration_us: u64,
    /// And its phases.
    pub phases: Phases,
}

/// The parts of an attempt's request that cannot be derived from its hook, event and number.
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
    /// The hook's generation at the time of the request.
    pub generation: u64,
    /// `None` when there was no request.
    pub sent: Option<Sent>,
    /// Total tries, when the event itself specifies them (one-shot hooks).
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

    /// The stable text shown as `client_error`; `None` when there was an answer, or nothing to send.
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
