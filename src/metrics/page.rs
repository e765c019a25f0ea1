//! The page for a scrape: families of samples in the `OpenMetrics` text format, which Prometheus reads.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::histogram::Observed;

/// The media type of a page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Prefix of every name.
const PREFIX: &str = "switchhook";

/// The families of one scrape, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

/// The samples of one name.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

/// A label's name and value.
pub type Label<'a> = (&'static str, &'a dyn fmt::Display);

/// Labels that several samples share.
pub type Labels = Arc<[(&'static str, String)]>;

/// Creates shared labels.
#[must_use]
pub fn labels(labels: &[Label<'_>]) -> Labels {
    labels.iter().map(|(name, value)| (*name, value.to_string())).collect()
}

/// The value of a sample.
#[derive(Debug)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any other number.
    Fraction(f64),
    /// Durations.
    Histogram(Observed),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Fraction(value)
    }
}

impl From<Observed> for Value {
    fn from(seen: Observed) -> Self {
        Self::Histogram(seen)
    }
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a family; one without samples is left out.
    pub fn add(&mut self, family: Family) {
        if !family.samples.is_empty() {
            self.0.push(family);
        }
    }

    /// Adds several families, in order.
    pub fn extend(&mut self, families: impl IntoIterator<Item = Family>) {
        families.into_iter().for_each(|family| self.add(family));
    }

    /// The page as text; ends with `# EOF`.
    #[must_use]
    pub fn into_text(self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut out = String::with_capacity(64 << 10);
        // Writing into a String cannot fail.
        let _written = text::encode(&mut out, &registry);
        out
    }
}

impl Family {
    /// A family of counters; the names of its samples end with `_total`.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::Counter, samples: Vec::new() }
    }

    /// A family of gauges.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::Gauge, samples: Vec::new() }
    }

    /// A family of histograms, in seconds.
    #[must_use]
    pub fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::Histogram, samples: Vec::new() }
    }

    /// Adds a sample and returns the family.
    #[must_use]
    pub fn with(mut self, labels: &[Label<'_>], value: impl Into<Value>) -> Self {
        self.put(labels, value);
        self
    }

    /// Adds a sample.
    pub fn put(&mut self, labels: &[Label<'_>], value: impl Into<Value>) {
        self.samples.push((self::labels(labels), value.into()));
    }

    /// Adds a sample with shared labels.
    pub fn put_shared(&mut self, labels: &Labels, value: impl Into<Value>) {
        self.samples.push((Arc::clone(labels), value.into()));
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.samples {
                if labels.is_empty() {
                    encode(&mut metric, family.kind, value)?;
                } else {
                    encode(&mut metric.encode_family(&&**labels)?, family.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Whole(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        }
        (MetricType::Counter, Value::Fraction(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        }
        (_, Value::Whole(value)) => metric.encode_gauge(value),
        (_, Value::Fraction(value)) => metric.encode_gauge(value),
        (_, Value::Histogram(seen)) => {
            metric.encode_histogram::<NoLabelSet>(seen.sum_s, seen.count, &seen.buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    #[test]
    fn prometheus_can_read_a_page() {
        let mut page = Page::new();
        let tries = Family::counter("tries", "Tries").with(&[("result", &"ok")], 3);
        page.add(tries.with(&[("result", &"a\"b\n")], 1));
        page.add(Family::gauge("age_seconds", "Age").with(&[], 1.5));
        let seen = Histogram::new(&[1_000]);
        seen.observe_us(10);
        page.add(Family::histogram("took_seconds", "Took").with(&[("log", &"events")], seen.observed()));
        page.add(Family::gauge("nothing", "Not shown without a sample"));
        let expected = "# HELP switchhook_tries Tries\n# TYPE switchhook_tries counter\n\
            switchhook_tries_total{result=\"ok\"} 3\nswitchhook_tries_total{result=\"a\\\"b\\n\"} 1\n\
            # HELP switchhook_age_seconds Age\n# TYPE switchhook_age_seconds gauge\nswitchhook_age_seconds 1.5\n\
            # HELP switchhook_took_seconds Took\n# TYPE switchhook_took_seconds histogram\n\
            switchhook_took_seconds_sum{log=\"events\"} 0.00001\n\
            switchhook_took_seconds_count{log=\"events\"} 1\n\
            switchhook_took_seconds_bucket{le=\"0.001\",log=\"events\"} 1\n\
            switchhook_took_seconds_bucket{le=\"+Inf\",log=\"events\"} 1\n# EOF\n";
        assert_eq!(page.into_text(), expected);
    }
}
