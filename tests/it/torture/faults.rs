//! What is done to the program, its broker, its receiver, its disk and its clock.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use super::program;
use super::small_disk::SmallDisk;
use crate::support::broker::Broker;
use crate::support::process::Process;
use crate::support::receiver::Receiver;

/// The program stops taking events when less than this is free.
pub const RESERVE: u64 = 4 << 20;
/// How far a clock jumps at the most, forwards or backwards: less than anything is kept.
const JUMP_US: i64 = 3_600_000_000;

/// Everything that can be broken.
pub struct Scene {
    pub broker: Broker,
    pub receiver: Receiver,
    pub process: Process,
    pub disk: SmallDisk,
    pub settings: Vec<String>,
    /// How often the program or its broker has been killed.
    pub kills: usize,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the program, twice in a row now and then.
    Kill,
    /// SIGTERM, and a start with other limits.
    Reconfigure,
    /// SIGSTOP, a while, SIGCONT.
    Freeze,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The broker stands still for a while.
    BrokerFrozen,
    /// The receiver's port closes with all connections, as when it is killed, and opens again.
    ReceiverGone,
    /// A hook is made, changed, disabled, and deleted.
    HookComesAndGoes,
    /// Nothing, or less than the reserve, is left of the disk for a while.
    DiskFull,
    /// The program's clock jumps, there and back.
    ClockJumps,
}

impl Fault {
    pub fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..16_u32) {
            0..6 => Self::Kill,
            6 => Self::Reconfigure,
            7..9 => Self::Freeze,
            9 => Self::BrokerKilled,
            10 => Self::BrokerFrozen,
            11..13 => Self::ReceiverGone,
            13 => Self::HookComesAndGoes,
            14 => Self::DiskFull,
            _ => Self::ClockJumps,
        }
    }
}

impl Scene {
    /// Breaks it and mends it again.
    pub async fn strike(&mut self, fault: Fault, random: &mut StdRng) {
        let moment = Duration::from_millis(random.random_range(50..500));
        match fault {
            Fault::Kill => {
                self.kill();
                if random.random_bool(0.3) {
                    // Once more, while it starts.
                    self.process = Process::spawn_serve(&self.disk.data_dir(), &self.settings);
                    sleep(moment / 4).await;
                    self.kill();
                }
                self.start().await;
            }
            Fault::Reconfigure => {
                self.process.terminate();
                self.process.gone(Duration::from_secs(60)).await;
                self.settings.extend([
                    format!("queues.window={}", random.random_range(16..128_u32)),
                    format!("amqp.prefetch={}", random.random_range(10..200_u32)),
                    format!("ledger.checkpoint_records={}", random.random_range(50..400_u32)),
                    format!("delivery.max_in_flight={}", random.random_range(4..64_u32)),
                ]);
                self.start().await;
            }
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
        self.process = Process::serve(&self.disk.data_dir(), &self.settings).await;
    }

    /// With nothing left the program may end, since it cannot write what it has to; then it is started again.
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
        self.process = program::serve(&self.disk.data_dir(), &self.settings, clock.path()).await;
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
