//! Events of our own: what this program tells of its documents goes into the same log.

use serde_json::{Map, Value};

use super::handle::Ingest;
use super::prepare::Incoming;
use crate::kazoo::document_routing_key;
use crate::log::AppendError;
use crate::model::Source;

impl Ingest {
    /// Logs events about documents, in order; answers when they are on disk. One that is among the last events
    /// already, by its `Msg-ID`, is left out.
    pub async fn tell(&self, events: Vec<Map<String, Value>>) -> Result<(), AppendError> {
        let prepared = events.into_iter().map(|event| {
            self.prepare(&Incoming {
                source: Source::Internal,
                origin: None,
                exchange: String::new(),
                routing_key: document_routing_key(&event),
                content_type: None,
                gzip: false,
                // It may have been, before a crash.
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
