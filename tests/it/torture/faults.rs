//! Faults of the program, its broker, its receiver, its disk and its clock.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use super::small_disk::SmallDisk;
use super::{TIMEOUT_MS, program};
use crate::support::broker::Broker;
use crate::support::config_file::ConfigFile;
use crate::support::process::Process;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually_true;

/// The program refuses events when less than this is free.
pub const RESERVE: u64 = 4 << 20;
/// The largest jump of the clock, forwards or backwards: less than any retention.
const JUMP_US: i64 = 3_600_000_000;

/// Everything that can be broken.
pub struct Scene {
    pub broker: Broker,
    pub receiver: Receiver,
    pub process: Process,
    pub disk: SmallDisk,
    pub file: ConfigFile,
    /// The number of shards, if it stays the same.
    pub shards: Option<usize>,
    /// How often the program or its broker has been killed.
    pub kills: usize,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the program, sometimes twice in a row.
    Kill,
    /// SIGTERM, then a start with other limits and mostly another number of shards.
    Reconfigure,
    /// SIGHUP: other limits and policies for the running program, sometimes a file that cannot be used.
    Reload,
    /// SIGSTOP, and SIGCONT after a while.
    Freeze,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The broker is frozen for a while.
    BrokerFrozen,
    /// The receiver's port and connections close, as when it is killed, and the port opens again.
    ReceiverGone,
    /// A hook is created, changed, disabled and deleted.
    HookComesAndGoes,
    /// The disk is full, or has less than the reserve, for a while.
    DiskFull,
    /// The program's clock jumps, and jumps back.
    ClockJumps,
}

impl Fault {
    pub fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..18_u32) {
            0..6 => Self::Kill,
            6 => Self::Reconfigure,
            7..9 => Self::Freeze,
            9 => Self::BrokerKilled,
            10 => Self::BrokerFrozen,
            11..13 => Self::ReceiverGone,
            13 => Self::HookComesAndGoes,
            14 => Self::DiskFull,
            15..17 => Self::Reload,
            _ => Self::ClockJumps,
        }
    }
}

impl Scene {
    /// Causes the fault and ends it again.
    pub async fn strike(&mut self, fault: Fault, random: &mut StdRng) {
        let moment = Duration::from_millis(random.random_range(50..500));
        match fault {
            Fault::Kill => {
                self.kill();
                if random.random_bool(0.3) {
                    // Kill it once more while it starts.
                    self.process = Process::spawn_by_file(&self.file);
                    sleep(moment / 4).await;
                    self.kill();
                }
                self.start().await;
            }
            Fault::Reconfigure => {
                self.process.terminate();
                self.process.gone(Duration::from_secs(60)).await;
                self.file.set(&[
                    format!("queues.window={}", random.random_range(16..128_u32)),
                    format!("amqp.prefetch={}", random.random_range(10..200_u32)),
                    format!("ledger.checkpoint_records={}", random.random_range(50..400_u32)),
                    format!("delivery.max_in_flight={}", random.random_range(4..64_u32)),
                    format!("queues.shards={}", self.shards.unwrap_or_else(|| random.random_range(1..=8))),
                ]);
                self.start().await;
            }
            Fault::Reload => self.reload(random).await,
            Fault::Freeze => {
                self.process.signal("STOP");
                sleep(moment * 4).await;
                self.process.signal("CONT");
            }
            Fault::BrokerKilled => {
                self.broker.kill();
                self.kills += 1;
                sleep(moment).await;
                self.broker.start_again().await;
            }
            Fault::BrokerFrozen => {
                self.broker.signal("STOP");
                sleep(moment * 4).await;
                self.broker.signal("CONT");
            }
            Fault::ReceiverGone => {
                self.receiver.refuse().await;
                sleep(moment).await;
                self.receiver.accept_again();
            }
            Fault::HookComesAndGoes => self.hook_comes_and_goes().await,
            Fault::DiskFull => self.disk_is_full(moment, random).await,
            Fault::ClockJumps => self.clock_jumps(moment, random).await,
        }
    }

    fn kill(&mut self) {
        self.process.kill();
        self.kills += 1;
    }

    async fn start(&mut self) {
        self.process = Process::serve_by(&self.file).await;
    }

    async fn reload(&mut self, random: &mut StdRng) {
        if random.random_bool(0.2) {
            self.file.write("retry.initial = 1\n");
            self.hang_up("configuration cannot be used").await;
        }
        let probe = random.random_range(50..200_u32);
        self.file.set(&[
            format!("delivery.max_in_flight={}", random.random_range(4..64_u32)),
            format!("delivery.per_hook_in_flight={}", random.random_range(1..32_u32)),
            format!("delivery.per_host_in_flight={}", random.random_range(2..64_u32)),
            format!("delivery.request_timeout_ms={}", random.random_range(TIMEOUT_MS / 2..=TIMEOUT_MS)),
            format!("delivery.response_read_bytes={}", random.random_range(1024..65536_u32)),
            format!("retry.initial_ms={}", random.random_range(5..50_u32)),
            // A receiver that is down must not use up all tries of a hook that is never disabled.
            format!("retry.max_ms={}", random.random_range(150..400_u32)),
            format!("disable.failure_count={}", random.random_range(0..10_u32)),
            format!("disable.probe_initial_ms={probe}"),
            format!("disable.probe_max_ms={}", probe * random.random_range(1..4_u32)),
        ]);
        self.hang_up("configuration reloaded").await;
    }

    /// Sends SIGHUP and waits for another log line with this text.
    async fn hang_up(&self, until: &str) {
        let before = self.process.said(until);
        self.process.signal("HUP");
        eventually_true(until, Duration::from_secs(60), || self.process.said(until) > before).await;
    }

    /// On a completely full disk the program may end because it cannot write. This starts it again.
    async fn disk_is_full(&mut self, moment: Duration, random: &mut StdRng) {
        let left = if random.random_bool(0.5) { 0 } else { RESERVE / 2 };
        if !self.disk.fill(left) {
            return;
        }
        sleep(moment * 4).await;
        self.disk.empty();
        if self.process.has_ended() {
            self.start().await;
        }
    }

    async fn clock_jumps(&mut self, moment: Duration, random: &mut StdRng) {
        let clock = tempfile::NamedTempFile::new().unwrap();
        let mut jump = || std::fs::write(clock.path(), random.random_range(-JUMP_US..JUMP_US).to_string());
        self.kill();
        self.process = program::serve(&self.disk.data_dir(), &self.file.settings(), clock.path()).await;
        for _ in 0..3 {
            sleep(moment).await;
            jump().unwrap();
        }
        sleep(moment).await;
        self.kill();
        self.start().await;
    }

    async fn hook_comes_and_goes(&self) {
        let api = self.process.api().await;
        let id = api.hook(json!({"uri": self.receiver.uri("/guest"), "format": "json"})).await;
        let path = format!("/webhooks/{id}");
        for (method, data) in [
            ("PATCH", Some(json!({"data": {"ordering": "none", "name": "changed"}}))),
            ("PATCH", Some(json!({"data": {"enabled": false}}))),
            ("DELETE", None),
        ] {
            let answer = api.own(method, &path, data).await;
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
        }
    }
}
