//! What runs beside a session while it consumes: the check of the queue and its bindings, and the answer to requests for a
//! sign of life. Neither ends by itself.

use std::convert::Infallible;
use std::time::Duration;

use lapin::options::BasicQosOptions;
use lapin::{Channel, Connection};

use super::consumer::ConsumerOptions;
use super::handle::Ingest;
use super::topology;
use crate::amqp::Status;
use crate::tasks::Beat;

/// The time limit for a check of the queue. A working broker answers at once.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// Declares exchanges and bindings again at intervals, while the connection lives, and reports failures. Needed because
/// the broker does not announce that a binding has vanished: its messages just stop coming.
pub(super) async fn look_now_and_then(
    connection: &Connection,
    options: &ConsumerOptions,
    ingest: &Ingest,
    status: &Status,
) -> Infallible {
    loop {
        tokio::time::sleep(options.check_every).await;
        let looked = tokio::time::timeout(LOOK_WITHIN, topology::renew(connection, &options.queue)).await;
        let found = match looked {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer to the check of the queue within {} s", LOOK_WITHIN.as_secs())),
        };
        if let Err(reason) = &found {
            tracing::warn!(queue = options.queue, reason, "exchanges or bindings cannot be declared");
        }
        let now_us = ingest.clock().now_us();
        status.looked(|queue| match found {
            Ok(waiting) => {
                queue.fault = None;
                queue.waiting = Some(waiting);
                if waiting == 0 {
                    queue.event_age_ms = None;
                }
                queue.waiting_since_us = (waiting > 0).then(|| queue.waiting_since_us.unwrap_or(now_us));
            }
            Err(reason) => queue.fault = Some(reason),
        });
    }
}

/// Answers requests for a sign of life, when the broker answers on the channel that events come on. An open TCP
/// connection alone does not prove that the broker works.
pub(super) async fn answer_for_the_broker(channel: Channel, prefetch: u16, beat: &mut Beat) -> Infallible {
    loop {
        let sign = beat.asked().await;
        // Setting the same prefetch changes nothing, but the broker answers it.
        if sign.is_wanted() && channel.basic_qos(prefetch, BasicQosOptions::default()).await.is_ok() {
            sign.give();
        }
    }
}
