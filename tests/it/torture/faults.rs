//! What is done to the program, its broker and its receiver.

use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use crate::support::app::Api;
use crate::support::broker::Broker;
use crate::support::process::Process;
use crate::support::receiver::Receiver;

/// Everything that can be broken.
pub struct Scene {
    pub broker: Broker,
    pub receiver: Receiver,
    pub process: Process,
    pub api: Api,
    pub dir: PathBuf,
    pub settings: Vec<String>,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of the program, twice in a row now and then.
    Kill,
    /// SIGTERM and a start.
    Restart,
    /// SIGSTOP, a while, SIGCONT.
    Freeze,
    /// The broker is killed and started again.
    BrokerKilled,
    /// The receiver's port closes with all connections, and opens again.
    ReceiverGone,
    /// A hook is made, changed, disabled, and deleted.
    HookComesAndGoes,
}

impl Fault {
    pub fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..12_u32) {
            0..5 => Self::Kill,
            5 => Self::Restart,
            6..8 => Self::Freeze,
            8 => Self::BrokerKilled,
            9..11 => Self::ReceiverGone,
            _ => Self::HookComesAndGoes,
        }
    }
}

impl Scene {
    /// Breaks it and mends it again.
    pub async fn strike(&mut self, fault: Fault, random: &mut StdRng) {
        let moment = Duration::from_millis(random.random_range(50..500));
        match fault {
            Fault::Kill => {
                self.process.kill();
                if random.random_bool(0.3) {
                    // Once more, while it starts.
                    self.process = Process::spawn_serve(&self.dir, &self.settings);
                    sleep(moment / 4).await;
                    self.process.kill();
                }
                self.start().await;
            }
            Fault::Restart => {
                self.process.terminate();
                self.process.gone(Duration::from_secs(60)).await;
                self.start().await;
            }
            Fault::Freeze => {
                self.process.signal("STOP");
                sleep(moment * 4).await;
                self.process.signal("CONT");
            }
            Fault::BrokerKilled => {
                self.broker.kill();
                sleep(moment).await;
                self.broker.start_again().await;
            }
            Fault::ReceiverGone => {
                self.receiver.refuse().await;
                sleep(moment).await;
                self.receiver.accept_again();
            }
            Fault::HookComesAndGoes => self.hook_comes_and_goes().await,
        }
    }

    async fn start(&mut self) {
        self.process = Process::serve(&self.dir, &self.settings).await;
        self.api = self.process.api().await;
    }

    async fn hook_comes_and_goes(&self) {
        let id = self.api.hook(json!({"uri": self.receiver.uri("/guest"), "format": "json"})).await;
        let path = format!("/webhooks/{id}");
        for (method, data) in [
            ("PATCH", Some(json!({"data": {"ordering": "none", "name": "changed"}}))),
            ("PATCH", Some(json!({"data": {"enabled": false}}))),
            ("DELETE", None),
        ] {
            let answer = self.api.own(method, &path, data).await;
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
        }
    }
}
