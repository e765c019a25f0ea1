//! Spans of attempts for the exporter: sent without waiting, and dropped when the exporter does not keep up.

use tokio::sync::mpsc;

use crate::model::{AttemptResult, AttemptSpan, DeliveryId, Event, Job, Span};

/// The span of an attempt under way.
#[derive(Debug)]
pub(super) struct Tracing<'a> {
    to: &'a mpsc::Sender<AttemptSpan>,
    span: Span,
    parent: u64,
}

impl<'a> Tracing<'a> {
    /// Starts a span; `None` when spans are not exported or the event's trace is not recorded.
    pub(super) fn begin(
        to: Option<&'a mpsc::Sender<AttemptSpan>>,
        record: &[u8],
        span_id: u64,
    ) -> Option<Self> {
        let to = to?;
        let parent = Event::decode(record).ok()?.trace.filter(|span| span.is_sampled())?;
        Some(Self { to, span: parent.child(span_id), parent: parent.id })
    }

    /// Ends the span and sends it to the exporter.
    pub(super) fn end(self, job: &Job, delivery: DeliveryId, result: &AttemptResult, times_us: (u64, u64)) {
        let (began_us, ended_us) = times_us;
        let span = AttemptSpan {
            span: self.span,
            parent: self.parent,
            delivery,
            account: job.hook.account,
            attempt: job.attempt,
            status: if let AttemptResult::Answered(response) = result { Some(response.status) } else { None },
            error: result.client_error(),
            began_us,
            ended_us,
        };
        if self.to.try_send(span).is_err() {
            tracing::debug!("a span was dropped: the exporter does not keep up");
        }
    }
}
