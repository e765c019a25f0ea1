//! One connection to the broker: gather the messages that have arrived, append them, acknowledge after the sync.
//!
//! Several batches may wait for the disk at once. They are acknowledged in order, and batches that follow each other closely
//! with one `ack multiple`. When the connection is lost, the session waits for the appends under way before the next connection begins; so their
//! messages are recognised when the broker hands them out again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::time::Instant;

use super::acknowledge::Acknowledgements;
use super::batch::{Backlog, Batch, first_appended};
use super::checks;
use super::consumer::{ConsumerOptions, ConsumerStatus};
use super::handle::Ingest;
use super::message::{incoming, sent_us};
use super::topology::{self, DeclaredQueue};
use crate::amqp::{Address, Status};
use crate::log::AppendError;
use crate::model::iso8601;
use crate::tasks::Stop;

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// On request.
    Stopped,
    /// Connecting failed or the connection was lost: reconnect.
    Lost(String),
    /// The log takes no more events.
    LogFailed(AppendError),
}

impl From<lapin::Error> for Ended {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Connects and consumes until something ends it. Updates the status when consuming begins and at every check of the
/// queue.
pub(super) async fn run(
    address: &Address,
    options: &ConsumerOptions,
    ingest: &Ingest,
    stop: &Stop,
    seen: &mut ConsumerStatus,
) -> Ended {
    let ConsumerStatus { status, beat } = seen;
    let status = &*status;
    let Some(opened) = stop.run_until_cancelled(open(address, options)).await else { return Ended::Stopped };
    let (connection, opened, consumer) = match opened {
        Ok(opened) => opened,
        Err(ended) => return ended,
    };
    let DeclaredQueue { channel, waiting, notice } = opened;
    tracing::info!(broker = %address, queue = options.queue, waiting, "consuming from the broker");
    status.connected(ingest.clock().now_us());
    status.looked(|queue| {
        queue.waiting = Some(waiting);
        queue.notices.extend(notice);
    });
    let connection = Arc::new(connection);
    let backlog = Backlog { left: waiting, waiting, bytes: 0 };
    let looking = checks::look_now_and_then(&connection, options, ingest, status);
    let answering = checks::answer_for_the_broker(channel.clone(), options.prefetch.max(1), beat);
    let mut session = Session {
        options,
        ingest,
        status,
        connection: Arc::clone(&connection),
        channel,
        consumer,
        waiting: VecDeque::new(),
        acknowledgements: Acknowledgements::new(options.prefetch),
        backlog,
        aged: None,
        gap_from_us: None,
    };
    session.backlog_was_full(waiting, options.bounds.messages);
    // The two checks end only with the session. They share its task, because they are of no use without its
    // connection.
    let ended = tokio::select! {
        ended = session.consume(stop) => ended,
        never = looking => match never {},
        never = answering => match never {},
    };
    if matches!(ended, Ended::Stopped) {
        let grace = options.stop_grace;
        if tokio::time::timeout(grace, session.goodbye()).await.is_err() {
            tracing::warn!(
                grace_ms = grace.as_millis(),
                "the broker did not close the connection within the grace period"
            );
        }
    }
    if matches!(ended, Ended::Lost(_)) {
        session.let_appends_end().await;
    }
    ended
}

async fn open(
    address: &Address,
    options: &ConsumerOptions,
) -> Result<(Connection, DeclaredQueue, Consumer), Ended> {
    let connection = address.connect("switchhook ingest").await.map_err(Ended::Lost)?;
    let kind = topology::kind(address, options.queue_type).await.map_err(Ended::Lost)?;
    let opened = topology::open(&connection, &options.queue, options.bounds, kind).await;
    let opened = opened.map_err(|e| Ended::Lost(e.to_string()))?;
    let channel = &opened.channel;
    channel.basic_qos(options.prefetch.max(1), BasicQosOptions::default()).await?;
    let (queue, consume) = (options.queue.as_str().into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "".into(), consume, FieldTable::default()).await?;
    Ok((connection, opened, consumer))
}

struct Session<'a> {
    options: &'a ConsumerOptions,
    ingest: &'a Ingest,
    status: &'a Status,
    connection: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
    /// Batches that are not acknowledged, in the order of their tags.
    waiting: VecDeque<Batch>,
    acknowledgements: Acknowledgements,
    backlog: Backlog,
    /// When the age of an arriving event was last noted.
    aged: Option<Instant>,
    /// Set when the queue was full: the time of the last event stored before the gap. The first event to arrive ends
    /// the gap.
    gap_from_us: Option<u64>,
}

/// The interval at which the age of arriving events is noted.
const AGE_EVERY: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Notes how old an arriving event is.
    fn note_age(&mut self, sent_us: Option<u64>) {
        let Some(sent_us) = sent_us else { return };
        if let Some(from_us) = self.gap_from_us.take() {
            let (from, until) = (iso8601(from_us), iso8601(sent_us.max(from_us)));
            let notice = format!("the dropped events were sent between {from} and {until}");
            tracing::warn!(queue = self.options.queue, from, until, "events are missing: {notice}");
            self.status.looked(|queue| queue.notices.push(notice));
        }
        if self.aged.is_some_and(|aged| aged.elapsed() < AGE_EVERY) {
            return;
        }
        self.aged = Some(Instant::now());
        let age_us = self.ingest.clock().now_us().saturating_sub(sent_us);
        self.status.looked(|queue| queue.event_age_ms = Some(age_us / 1000));
    }

    /// Reports a backlog that had reached a bound of the queue. The broker does not reveal how many messages it
    /// dropped.
    fn backlog_was_full(&mut self, amount: u64, most: u64) {
        if most == 0 || amount < most - most / 50 {
            return;
        }
        let waiting = self.backlog.waiting;
        let notice = format!(
            "the queue was full when the connection was made, with {waiting} messages: the broker probably dropped \
             older ones, and does not report how many"
        );
        tracing::warn!(queue = self.options.queue, waiting, "events are missing: {notice}");
        self.status.looked(|queue| queue.notices.push(notice));
        // The next event that arrives tells where the gap ends (`note_age`).
        self.gap_from_us = self.ingest.last_from_broker_us();
    }

    async fn consume(&mut self, stop: &Stop) -> Ended {
        let most = self.options.batches_in_flight.max(1);
        loop {
            let handled = tokio::select! {
                // Finished appends come before new messages, so that a steady stream does not delay acknowledgements.
                biased;
                () = stop.cancelled() => return Ended::Stopped,
                () = self.acknowledgements.due() => self.acknowledge().await,
                Some(result) = first_appended(&mut self.waiting) => self.settle_first(result, stop).await,
                next = self.consumer.next(), if self.waiting.len() < most => match next {
                    Some(Ok(delivery)) => self.take(delivery).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Err(Ended::Lost("the broker cancelled the consumer".to_owned())),
                },
            };
            if let Err(ended) = handled {
                return ended;
            }
        }
    }

    /// Gathers the messages that have already arrived after `first` and begins their append.
    async fn take(&mut self, first: Delivery) -> Result<(), Ended> {
        self.note_age(sent_us(&first));
        let mut batch = Batch::default();
        let (mut events, mut bytes, mut next) = (0, 0, Some(first));
        while let Some(delivery) = next.take() {
            events += 1;
            bytes += delivery.data.len();
            self.add(&mut batch, delivery);
            if events < self.options.batch_events && bytes < self.options.batch_bytes {
                next = match self.consumer.next().now_or_never() {
                    Some(Some(Ok(delivery))) => Some(delivery),
                    // The gathered messages are dropped. The broker hands them out again, and as they are not stored,
                    // they are taken then (`Windows::is_copy`).
                    Some(Some(Err(error))) => return Err(error.into()),
                    // A cancelled consumer reports it again at the next call.
                    Some(None) | None => None,
                };
            }
        }
        batch.messages = events;
        // Only begun here: the sync of this batch and the gathering of the next one overlap. A batch of duplicates waits in line
        // too, because its acknowledgement also covers all messages before it.
        if !batch.records.is_empty() {
            let begun = self.ingest.begin_append(batch.records.clone()).await;
            batch.appending = Some(begun.map_err(Ended::LogFailed)?);
        }
        self.waiting.push_back(batch);
        Ok(())
    }

    fn add(&mut self, batch: &mut Batch, delivery: Delivery) {
        batch.tag = delivery.delivery_tag;
        if let Some(bytes) = self.backlog.take(delivery.data.len()) {
            self.backlog_was_full(bytes, self.options.bounds.bytes);
        }
        let incoming = incoming(delivery, self.options.origin);
        let prepared = self.ingest.prepare(&incoming);
        if prepared.duplicate {
            tracing::debug!(
                routing_key = incoming.routing_key,
                "a redelivered message is already in the log"
            );
            return;
        }
        if let Some(reason) = prepared.quarantine() {
            let (exchange, routing_key) = (&incoming.exchange, &incoming.routing_key);
            tracing::warn!(
                exchange,
                routing_key,
                reason,
                "a message cannot be understood; it is stored in quarantine"
            );
        }
        batch.keys.extend(prepared.seen_key);
        batch.records.push(prepared.record);
    }

    async fn settle_first(&mut self, result: Result<(), AppendError>, stop: &Stop) -> Result<(), Ended> {
        match result {
            Ok(()) => {}
            Err(AppendError::Full) => self.wait_for_room(stop).await?,
            Err(error) => return Err(Ended::LogFailed(error)),
        }
        if let Some(batch) = self.waiting.pop_front() {
            // Remembered first: if the acknowledgement is lost, the broker sends the batch again and it must be recognised.
            self.ingest.remember(&batch.keys);
            self.acknowledgements.add(batch.tag, batch.messages, Instant::now());
            if self.acknowledgements.are_many() {
                self.acknowledge().await?;
            }
        }
        Ok(())
    }

    /// Acknowledges all messages that are on disk.
    async fn acknowledge(&mut self) -> Result<(), Ended> {
        let Some(tag) = self.acknowledgements.take() else { return Ok(()) };
        // `multiple` is safe because batches are settled in order: everything up to this tag is on disk.
        Ok(self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?)
    }

    /// Waits for free space on disk. Takes no new messages meanwhile (the broker keeps them) and retries the waiting
    /// batches in order until all of them are on disk.
    async fn wait_for_room(&mut self, stop: &Stop) -> Result<(), Ended> {
        tracing::error!("the disk is full; the broker keeps its messages until there is room");
        // Appends after the refused one may have succeeded. Wait for all results, so that only refused batches are repeated.
        for batch in &mut self.waiting {
            keep_when_full(batch.appended().await)?;
        }
        while self.waiting.iter().any(|batch| !batch.records.is_empty()) {
            let pause = tokio::time::sleep(self.options.full_retry);
            stop.run_until_cancelled(pause).await.ok_or(Ended::Stopped)?;
            if !self.connection.status().connected() {
                return Err(Ended::Lost("the connection was lost while the disk was full".to_owned()));
            }
            for batch in self.waiting.iter_mut().filter(|batch| !batch.records.is_empty()) {
                let begun = self.ingest.begin_append(batch.records.clone()).await;
                batch.appending = Some(begun.map_err(Ended::LogFailed)?);
                // A later batch must not be logged before this one, so stop at the first that does not fit.
                if !keep_when_full(batch.appended().await)? {
                    break;
                }
            }
        }
        tracing::info!("the disk has room again; consuming continues");
        Ok(())
    }

    /// Takes no more messages, acknowledges what is on disk, and closes the connection.
    async fn goodbye(&mut self) {
        let tag = self.consumer.tag();
        if let Err(error) = self.channel.basic_cancel(tag, BasicCancelOptions::default()).await {
            tracing::debug!(%error, "the consumer was gone already");
        }
        while let Some(mut batch) = self.waiting.pop_front() {
            let appended = batch.appended().await;
            // Nothing behind a batch that is not on disk may be acknowledged, because an acknowledgement covers
            // everything before it.
            if appended.is_err() || !batch.records.is_empty() {
                break;
            }
            self.acknowledgements.add(batch.tag, batch.messages, Instant::now());
        }
        if let Err(ended) = self.acknowledge().await {
            tracing::debug!(
                ?ended,
                "the last messages could not be acknowledged; the broker will send them again"
            );
        }
        let closed = async {
            self.channel.close(200, "switchhook stops".into()).await?;
            self.connection.close(200, "switchhook stops".into()).await
        };
        if let Err(error) = closed.await {
            tracing::debug!(%error, "the connection was gone already");
        }
    }

    /// Waits for appends under way. The broker will hand out their messages again, and they must be recognised then.
    async fn let_appends_end(&mut self) {
        for batch in &mut self.waiting {
            if batch.appending.is_some() && batch.appended().await.is_ok() {
                self.ingest.remember(&batch.keys);
            } else {
                self.ingest.forget(&batch.keys);
            }
        }
    }
}

/// Returns whether the batch is on disk. A full disk is not an error here: the batch is retried.
fn keep_when_full(appended: Result<(), AppendError>) -> Result<bool, Ended> {
    match appended {
        Ok(()) => Ok(true),
        Err(AppendError::Full) => Ok(false),
        Err(error) => Err(Ended::LogFailed(error)),
    }
}
