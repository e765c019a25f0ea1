//! Switchhook's own events: changes of documents are announced in the events log.

use serde_json::{Map, Value};

use super::handle::Ingest;
use super::prepare::Incoming;
use crate::kazoo::document_routing_key;
use crate::log::AppendError;
use crate::model::Source;

impl Ingest {
    /// Logs events about documents, in order, and returns after they are on disk. Leaves out an event whose `Msg-ID` is
    /// among the last events of the log.
    pub async fn log_own(&self, events: Vec<Map<String, Value>>) -> Result<(), AppendError> {
        let prepared = events.into_iter().map(|event| {
            self.prepare(&Incoming {
                source: Source::Internal,
                origin: None,
                exchange: String::new(),
                routing_key: document_routing_key(&event),
                content_type: None,
                gzip: false,
                // True, because the event may have been logged right before a crash.
                redelivered: true,
                trace: None,
                body: Value::Object(event).to_string().into(),
            })
        });
        let prepared: Vec<_> = prepared.filter(|prepared| !prepared.duplicate).collect();
        if prepared.is_empty() {
            return Ok(());
        }
        let keys: Vec<u64> = prepared.iter().filter_map(|prepared| prepared.seen_key).collect();
        let records: Vec<_> = prepared.into_iter().map(|prepared| prepared.record).collect();
        let count = records.len() as u64;
        self.begin_append(records).await?.await.unwrap_or(Err(AppendError::Closed))?;
        self.remember(&keys);
        self.counts().internal_taken.add(count);
        Ok(())
    }
}
