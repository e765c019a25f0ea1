//! The log against a plain list: random appends, reads, rolls, reopenings and power cuts.

use proptest::prelude::*;
use switchhook::log::LogOptions;

use crate::cut_disk::{CutDisk, Tear};
use crate::open_log::{OpenLog, block_on, expected};

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    /// Cuts the power at one operation of an append.
    Cut(u64, u64, Tear),
    Reopen,
    Roll,
    RetainFrom(u64),
    Read(u64, usize, usize),
    Tags(Vec<u64>, u64, u64, usize),
    Back(Vec<u64>, u64, usize),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let tear = prop_oneof![Just(Tear::Nothing), Just(Tear::FirstHalf), Just(Tear::All)];
    let tags = proptest::collection::vec(0u64..5, 0..4);
    prop_oneof![
        6 => (0u64..9).prop_map(Step::Append),
        1 => (1u64..9, 0u64..8, tear).prop_map(|(count, cut, tear)| Step::Cut(count, cut, tear)),
        1 => Just(Step::Reopen),
        1 => Just(Step::Roll),
        1 => (0u64..150).prop_map(Step::RetainFrom),
        4 => (0u64..200, 1usize..30, 0usize..500).prop_map(|(from, n, bytes)| Step::Read(from, n, bytes)),
        4 => (tags.clone(), 0u64..200, 0u64..200, 1usize..20)
            .prop_map(|(tags, from, until, n)| Step::Tags(tags, from, until, n)),
        2 => (tags, 0u64..200, 1usize..20).prop_map(|(tags, before, n)| Step::Back(tags, before, n)),
        2 => (0u64..3000).prop_map(Step::Time),
    ]
}

/// The expected contents of the log: all offsets from `first` to `end`.
struct Model {
    disk: CutDisk,
    options: LogOptions,
    log: OpenLog,
    end: u64,
}

impl Model {
    fn new() -> Self {
        let disk = CutDisk::default();
        let options = LogOptions { segment_bytes: 700, cache_bytes: 3000, ..LogOptions::default() };
        let log = OpenLog::new(&disk, &options);
        Self { disk, options, log, end: 0 }
    }

    fn reopen(&mut self, tear: Option<Tear>) {
        if let Some(tear) = tear {
            self.disk.power_on(tear);
        }
        let log = OpenLog::new(&self.disk, &self.options);
        drop(std::mem::replace(&mut self.log, log).close());
        assert!(self.log.reader.end() >= self.end, "acknowledged records are there");
        self.end = self.log.reader.end();
    }

    fn cut(&mut self, count: u64, cut: u64, tear: Tear) {
        self.disk.cut_at(cut);
        if self.log.append(count).is_ok() {
            self.end += count;
        }
        self.reopen(Some(tear));
    }

    fn tags(&self, tags: &[u64], from: u64, until: u64, most: usize) {
        let (first, stop) = (self.log.reader.first(), until.min(self.end));
        let wanted: Vec<_> = (from.max(first)..stop).filter(|n| tags.contains(&(n % 3))).collect();
        let (mut next, mut found) = (from.max(first), Vec::new());
        while next < stop {
            let batch = self.log.reader.read_tags(tags, next, until, most, 300).unwrap_or_default();
            assert!(batch.next > next && batch.records.len() <= most);
            next = batch.next;
            found.extend(batch.records);
        }
        assert_eq!(found, wanted.into_iter().map(expected).collect::<Vec<_>>());
    }

    fn take(&mut self, step: Step) {
        let first = self.log.reader.first();
        match step {
            Step::Append(count) => {
                assert_eq!(self.log.append(count), Ok(self.end..self.end + count));
                self.end += count;
            }
            Step::Cut(count, cut, tear) => self.cut(count, cut, tear),
            Step::Reopen => {
                let end = self.end;
                self.reopen(None);
                assert_eq!(self.end, end);
            }
            Step::Roll => assert_eq!(block_on(self.log.appender.roll()), Ok(self.end)),
            Step::RetainFrom(offset) => {
                let kept = block_on(self.log.appender.retain_from(offset)).unwrap_or(u64::MAX);
                assert!(kept >= first && kept <= offset.max(first) && kept <= self.end);
            }
            Step::Read(from, most, bytes) => {
                let batch = self.log.reader.read(from, most, bytes).unwrap_or_default();
                let from = from.max(first);
                assert!(batch.next > from || batch.next >= self.end);
                assert_eq!(batch.records, (from..batch.next.min(self.end)).map(expected).collect::<Vec<_>>());
                assert!(batch.records.len() <= most);
            }
            Step::Tags(tags, from, until, most) => self.tags(&tags, from, until, most),
            Step::Back(tags, before, most) => {
                let found = self.log.reader.read_tags_back(&tags, before, most).unwrap_or_default().records;
                let all = (first..before.min(self.end)).rev().filter(|n| tags.contains(&(n % 3)));
                assert_eq!(found, all.take(most).map(expected).collect::<Vec<_>>());
            }
            Step::Time(time) => {
                let wanted = (first..self.end).find(|n| 1000 + n * 10 >= time).unwrap_or(self.end);
                assert_eq!(self.log.reader.offset_at_time(time).ok(), Some(wanted));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_that_survives_everything(steps in proptest::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
            prop_assert_eq!(model.log.reader.end(), model.end);
        }
        prop_assert_eq!(model.log.read_all().damaged, vec![]);
    }
}
