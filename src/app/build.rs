//! Opening, recovering and binding: everything that can fail before the program is ready.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Mutex, mpsc};

use super::broker::{Brokers, StandingIn, node_name};
use super::data_dir;
use super::flow::Flows;
use super::hook_source::HooksOfQueues;
use super::keeper::Keeper;
use super::live;
use super::logs::{Log, open_log};
use super::mode::{Beginning, ModeParts, Modes};
use super::notices::NoticeLogger;
use super::operator::Operator;
use super::options::{
    auth_options, delivery_options, events_options, http_options, ingest_options, ledger_options,
    queue_options, retention_limits, shards, state_options,
};
use super::ports::{ChannelsPort, EventsPort, HealthPort, TesterPort};
use super::queues_port::QueuesPort;
use super::reload::{Reload, Reloaded, Running};
use super::retention::Retention;
use super::shards::{Common, Shards, feeds};
use super::share::AccountShare;
use super::sync;
use super::watch::{StepsAtWork, StorageHealth};
use super::{App, Steps, Stops, Threads};
use crate::auth::Auth;
use crate::commands::{self, Commands};
use crate::config::Config;
use crate::console::{self, Console};
use crate::delivery::{self, Sink, Tester, Transport};
use crate::disk::OsDisk;
use crate::history::History;
use crate::http::{Api, Ports, Server, Site};
use crate::ingest::Ingest;
use crate::log;
use crate::model::{AttemptSpan, Clock, Duty, EventOffset, LedgerOffset, ReplayId};
use crate::onboarding::sync::SyncWatch;
use crate::queues::{self, Action, Directory, Logs, Queues, Readings, Recovered};
use crate::state::{self, Change, FirstKey, State, StateTask};
use crate::tasks::Tasks;
use crate::telemetry::Exporter;
use crate::telemetry::LostLines;

/// The most spans that may wait for the exporter.
const SPANS: usize = 4096;

/// Everything on disk, open and recovered.
struct Storage {
    state: State,
    first_key: Option<FirstKey>,
    task: StateTask,
    changes: mpsc::Receiver<Change>,
    events: Log<EventOffset>,
    ledger: Log<LedgerOffset>,
    recovered: Recovered,
    ingest: Ingest,
}

async fn open_storage(config: &Config, clock: &Clock, tasks: &Tasks) -> anyhow::Result<Storage> {
    data_dir::intact(&config.data_dir)?;
    let opened = State::open(Arc::new(OsDisk), state_options(config), clock.clone(), tasks).await;
    let state::OpenedState { state, first_key, task, changes, rebuilt, .. } = opened.context("state")?;
    if let Some(reason) = rebuilt {
        tracing::warn!(reason, "the state's index was rebuilt from the journal");
    }
    // Before the events log, which must know how far the ledger refers to events.
    let ledger = open_log(&config.data_dir.join("ledger"), ledger_options(config), clock)?;
    let is_replay = |id: ReplayId| state.hook_of_replay(id).is_some();
    let recovered = queues::recover(&ledger.reader, is_replay).context("ledger")?;
    if recovered.unreadable > 0 {
        tracing::error!(
            records = recovered.unreadable,
            "some ledger records are unreadable; their deliveries are repeated"
        );
    }
    // An events log that lost its end must not give those offsets to new events: the ledger may count them as settled.
    let options = log::LogOptions { at_least: recovered.known_end().0, ..events_options(config) };
    let events = open_log(&config.data_dir.join("events"), options, clock)?;
    let options = ingest_options(config, &state);
    let ingest = Ingest::new(events.appender.clone(), &events.reader, clock.clone(), &options);
    Ok(Storage {
        state,
        first_key,
        task,
        changes,
        events,
        ledger,
        recovered,
        ingest: ingest.context("events log")?,
    })
}

/// The queues with their deliveries, and the channels to them.
struct Middle {
    shards: Shards,
    /// For what is sent and is no attempt.
    transport: Transport,
    handle: Queues,
    history: History,
    actions: mpsc::Receiver<Action>,
    exporter: Option<Exporter>,
    flows: Flows,
    beginning: Beginning,
    duty: Duty,
    sink: Sink,
}

fn middle(config: &Config, clock: &Clock, tasks: &Tasks, storage: &mut Storage) -> anyhow::Result<Middle> {
    let (actions_tx, actions) = mpsc::channel(1024);
    let feeds = feeds(&mut storage.changes, &mut storage.task, shards(config));
    let recovered = std::mem::take(&mut storage.recovered);
    let (events, ledger, state) = (&storage.events, &storage.ledger, &storage.state);
    let (exporter, spans) = exporter(config)?;
    let end = events.reader.end();
    let beginning = Beginning::read(state, config.kazoo.mode, end, clock.now_us())?;
    beginning.log(end);
    let (duty, stance) = (beginning.duty(), beginning.stance(end));
    let delivery = delivery::DeliveryOptions { spans, duty: duty.clone(), ..delivery_options(config) };
    let sink = delivery.sink.clone();
    let logs = Logs { events: events.reader.clone(), ledger: ledger.reader.clone(), state: state.clone() };
    let readings = Readings::new(tasks.clone());
    let history = History::new(logs.clone(), readings.clone(), config.attempts.log_successful);
    let common = Common {
        options: queue_options(config),
        delivery,
        clock: clock.clone(),
        tasks: tasks.clone(),
        events: events.reader.clone(),
        ledger: ledger.appender.clone(),
        state: state.clone(),
        stance,
        actions: actions_tx,
    };
    let handle = |commands| Queues::new(commands, logs, clock.clone(), readings);
    let (shards, handle) = Shards::build(&common, recovered, feeds, handle)?;
    let transport = shards.transports().into_iter().next().context("queues.shards: there is none")?;
    let flows = Flows::new(storage.ingest.clone(), handle.clone(), clock.clone());
    Ok(Middle { shards, transport, handle, history, actions, exporter, flows, beginning, duty, sink })
}

impl Middle {
    fn reloaded(&self, retention: Retention, state: &State, tasks: &Tasks) -> Reloaded {
        let (transports, queues) = (self.shards.transports(), self.handle.clone());
        let modes = Modes::new(ModeParts {
            beginning: self.beginning.clone(),
            duty: self.duty.clone(),
            state: state.clone(),
            queues: queues.clone(),
            events: retention.events.1.clone(),
            clock: retention.clock.clone(),
            tasks: tasks.clone(),
        });
        Reloaded { transports, queues, retention, modes, sink: self.sink.clone() }
    }
}

fn retention(
    config: &Config,
    events: &Log<EventOffset>,
    ledger: &Log<LedgerOffset>,
    clock: &Clock,
) -> Retention {
    let (max_age_us, max_bytes) = retention_limits(config);
    let (max_age_us, max_bytes) = (Arc::new(max_age_us.into()), Arc::new(max_bytes.into()));
    Retention {
        events: (events.appender.clone(), events.reader.clone()),
        ledger: (ledger.appender.clone(), ledger.reader.clone()),
        clock: clock.clone(),
        max_age_us,
        max_bytes,
    }
}

/// The exporter of spans and the channel to it, if configured.
fn exporter(config: &Config) -> anyhow::Result<(Option<Exporter>, Option<mpsc::Sender<AttemptSpan>>)> {
    let Some(endpoint) = &config.telemetry.otlp_endpoint else { return Ok((None, None)) };
    let (tell, spans) = mpsc::channel(SPANS);
    Ok((Some(Exporter::new(endpoint, spans, node_name())?), Some(tell)))
}

impl App {
    /// [`App::build_with`] for a program whose lost log lines are not counted.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        Self::build_with(config, clock, LostLines::default()).await
    }

    /// Opens the data directory, recovers every queue and binds the listeners. The metrics report `lost_lines`.
    #[expect(clippy::too_many_lines, reason = "the list of all parts, a line each; half of it names fields")]
    pub async fn build_with(config: Config, clock: Clock, lost_lines: LostLines) -> anyhow::Result<Self> {
        let (tasks, stops) = (Tasks::new(), Stops::default());
        let brokers = config.amqp.all_zones().iter().map(|zone| zone.uris.len()).sum();
        let threads = Threads::start(&tasks, shards(&config), brokers)?;
        // Before anything is opened: two processes that write the same logs would destroy them.
        let lock = data_dir::lock(&config.data_dir)?;
        let mut storage = open_storage(&config, &clock, &tasks).await?;
        let middle = middle(&config, &clock, &tasks, &mut storage)?;
        let Storage { state, first_key, task, events, ledger, ingest, .. } = storage;
        let mut brokers = Brokers::new(&config, &ingest, &clock)?;
        let auth = Auth::new(state.clone(), clock.clone(), tasks.clone(), auth_options(&config)?);
        let channels = channels(&config, &brokers, &ingest, &state);
        let hooks = HooksOfQueues::new(&middle.handle, &middle.history, &state);
        let parts = live::parts(&state, &auth, channels.clone(), hooks);
        let live = live::build(&config, parts, &events.reader, &clock, &tasks)?;
        let standing =
            StandingIn { state: &state, sessions: live.handle.sessions(), clock: &clock, duty: &middle.duty };
        brokers.stand_in(&config, standing);
        let stores = sync::Stores { state: &state, events: &events.reader, queues: &middle.handle };
        let (sync, synced) = sync::build(&config, stores, &clock, &tasks)?.unzip();
        let reloaded = middle.reloaded(retention(&config, &events, &ledger, &clock), &state, &tasks);
        let running = Arc::new(Mutex::new(config.clone()));
        let ports = ports(Meeting {
            config: &config,
            running: &running,
            brokers: &brokers,
            ingest: &ingest,
            state: &state,
            reloaded: &reloaded,
            middle: &middle,
            lost_lines,
            live: &live,
            channels,
            tasks: &tasks,
            synced,
        });
        let api = Api::new(state.clone(), auth, ports, clock.clone(), http_options(&config));
        let server = Server::bind(api, site(&config))?;
        let announcer = brokers.announcer(&ingest, middle.duty);
        let keeper = Keeper { state: state.clone(), actions: middle.actions, announcer };
        Ok(Self {
            grace: Duration::from_millis(config.shutdown_grace_ms),
            http_addr: server.address(),
            websocket_addr: live.listener.address(),
            live: live.handle,
            queues: middle.handle,
            first_key,
            events: events.reader,
            steps: Steps {
                brokers: brokers.tasks,
                server,
                websocket: live.listener,
                live: live.task,
                shards: middle.shards,
                keeper,
                notice_logger: notice_logger(&config, &state, &ingest, &tasks)?,
                exporter: middle.exporter,
                flows: middle.flows,
                retention: reloaded.retention.clone(),
                state: task,
                sync,
                writers: vec![("events log", events.writer), ("ledger", ledger.writer)],
                threads,
            },
            ingest,
            state,
            reload: Reload::new(running, reloaded, tasks.clone()),
            tasks,
            stops,
            _lock: lock,
        })
    }
}

/// The console, unless it is disabled.
fn site(config: &Config) -> Option<Arc<dyn Site>> {
    let options = console::ConsoleOptions { session_s: config.console.session_hours.saturating_mul(3600) };
    config.console.enabled.then(|| Arc::new(Console::new(options)) as Arc<dyn Site>)
}

/// The task that logs the notices of changed documents as events.
fn notice_logger(
    config: &Config,
    state: &State,
    ingest: &Ingest,
    tasks: &Tasks,
) -> anyhow::Result<NoticeLogger> {
    NoticeLogger::new(state, &config.data_dir, ingest, tasks)
        .with_context(|| format!("notices in data_dir {}", config.data_dir.display()))
}

/// Channels and their commands, for the API and the websockets.
fn channels(config: &Config, brokers: &Brokers, ingest: &Ingest, state: &State) -> ChannelsPort {
    let options = commands::CommandOptions { flow_as_action: config.commands.flow_as_action };
    ChannelsPort(Commands::new(brokers.zones.clone(), ingest.clone(), state.clone(), options))
}

/// The parts from which the API's ports are made.
struct Meeting<'a> {
    config: &'a Config,
    running: &'a Running,
    brokers: &'a Brokers,
    ingest: &'a Ingest,
    state: &'a State,
    reloaded: &'a Reloaded,
    middle: &'a Middle,
    lost_lines: LostLines,
    live: &'a live::Built,
    channels: ChannelsPort,
    tasks: &'a Tasks,
    /// The state of the sync with a KAZOO, if there is one.
    synced: Option<SyncWatch>,
}

/// The ports through which the API reaches the steps.
fn ports(meeting: Meeting<'_>) -> Ports {
    let Meeting { config, brokers, ingest, state, reloaded, middle, live, tasks, .. } = meeting;
    let shards = &middle.shards;
    let Reloaded { queues, retention, modes, .. } = reloaded;
    let steps = StepsAtWork {
        events: retention.events.0.clone(),
        ledger: retention.ledger.0.clone(),
        state: state.clone(),
        queues: queues.clone(),
        delivery: shards.pulses(),
        live: live.task.pulse(),
        shortages: shards.shortages(),
    };
    let live = &live.handle;
    let (events, ledger) = (&retention.events.1, &retention.ledger.1);
    let health = StorageHealth {
        events: events.untyped().clone(),
        ledger: ledger.untyped().clone(),
        brokers: brokers.watched.clone(),
        clock: retention.clock.clone(),
        steps,
        duty: modes.duty().clone(),
        synced: meeting.synced.clone(),
    };
    let log_ids = state.settings().log_ids.clone();
    let share = share(config, state, retention);
    let (clock, at_once) = (retention.clock.clone(), config.delivery.max_tests);
    let tester = Tester::new(middle.transport.clone(), at_once, clock, state.clone());
    Ports {
        queues: Arc::new(QueuesPort { queues: queues.clone(), history: middle.history.clone() }),
        events: Arc::new(EventsPort {
            ingest: ingest.clone(),
            log_ids,
            events: events.clone(),
            share,
            tasks: tasks.clone(),
        }),
        tester: Arc::new(TesterPort(tester)),
        health: Arc::new(HealthPort(health)),
        operator: Arc::new(operator(&meeting)),
        channels: Arc::new(meeting.channels),
        live: live.clone(),
    }
}

/// The rule for how much of the events log an account may use.
fn share(config: &Config, state: &State, retention: &Retention) -> AccountShare {
    AccountShare {
        events: retention.events.1.untyped().clone(),
        state: state.clone(),
        max_bytes: Arc::clone(&retention.max_bytes),
        percent: config.retention.max_account_percent,
        master: state.settings().master,
        sums: Arc::default(),
    }
}

/// The port for operators.
fn operator(meeting: &Meeting<'_>) -> Operator {
    let Meeting { config, ingest, state, reloaded, middle, live, .. } = *meeting;
    let Reloaded { queues, retention, .. } = reloaded;
    let (events, ledger) = (&retention.events.1, &retention.ledger.1);
    let logs = [
        ("events", events.untyped()),
        ("ledger", ledger.untyped()),
        ("journal", state.journal()),
        ("audit", state.trail()),
        ("audit-kept", state.kept_trail()),
    ];
    Operator {
        synced: meeting.synced.clone(),
        data_dir: Arc::new(config.data_dir.clone()),
        started_us: retention.clock.now_us(),
        logs: logs.map(|(name, log)| (name, log.clone())).to_vec(),
        ingest: ingest.clone(),
        queues: queues.clone(),
        flows: middle.flows.clone(),
        sessions: live.handle.sessions().clone(),
        brokers: meeting.brokers.watched.clone(),
        retention: retention.clone(),
        hook_series: config.metrics.hook_series,
        lost_lines: meeting.lost_lines.clone(),
        modes: reloaded.modes.clone(),
        running: Arc::clone(meeting.running),
    }
}
