//! The program: reads the command line, runs the command, and ends with an exit code.

use std::future::Future;
use std::io::{IsTerminal as _, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use switchhook::app::{
    App, Narrowed, Reload, check_data_dir, check_limits, has_data, keep_private, narrow, raise_open_files,
};
use switchhook::backup::{self, BackupError, Copied};
use switchhook::cli::{
    AmqpCommand, Command, DIFFERS, ImportCommand, KazooArgs, LogCommand, Settings, ShadowCommand, USAGE,
    parse,
};
use switchhook::config::Config;
use switchhook::model::Clock;
use switchhook::shadow::{self, Verdict};
use switchhook::{app, demo, import, manage, offline, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A third of a delivery's work is allocating memory of one or two kilobytes, at which the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The time limit for printing a line for the parent process. A pipe that is read takes it at once.
const PRINT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    keep_private();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        Command::Serve(settings) => serve(&settings),
        Command::Demo(args) => run(async move {
            let (ended, mut closed) = (shutdown_signal()?, signal(SignalKind::hangup())?);
            // When the terminal is closed, nobody could end the demo.
            let ended = async move {
                tokio::select! { () = ended => {}, _ = closed.recv() => {} }
            };
            Box::pin(demo::run(args.seconds, ended)).await
        }),
        Command::Backup { to, data_dir } => copied(backup::backup(&data_dir, &to, &Clock::system())),
        Command::Restore { from, data_dir } => restore(&from, &data_dir),
        Command::Amqp { command: AmqpCommand::Remove { settings, yes } } => match settings.load() {
            Ok(config) => run(async move { app::remove_queue(&config, yes).await }),
            Err(error) => refuse(&error),
        },
        Command::Amqp { command: AmqpCommand::Renew { settings } } => match settings.load() {
            Ok(config) => run(async move { app::renew_queue(&config).await }),
            Err(error) => refuse(&error),
        },
        Command::Shadow { command } => beside_kazoo(&command),
        Command::Hooks { command } => run(async move { manage::hooks(&command).await }),
        Command::Sessions { command } => run(async move { manage::sessions(&command).await }),
        Command::Import { command: ImportCommand::Kazoo(args) } => import(*args),
        Command::Log { command } => inspect(&command),
    }
}

/// Runs a command beside a KAZOO. The exit code shows whether the two systems differ.
fn beside_kazoo(command: &ShadowCommand) -> ExitCode {
    let mut verdict = Verdict::Fine;
    let ended = run(async {
        verdict = shadow::run(command, &Clock::system()).await?;
        if verdict == Verdict::Nothing {
            anyhow::bail!("there was nothing to compare");
        }
        Ok(())
    });
    if verdict == Verdict::Differs { ExitCode::from(DIFFERS) } else { ended }
}

/// Imports a KAZOO's accounts and hooks.
fn import(args: KazooArgs) -> ExitCode {
    let config = match args.settings.load() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = telemetry::start(&config.telemetry) {
        return refuse(&error);
    }
    run(async move {
        if args.into.is_none() && args.save.is_none() && has_data(&config.data_dir) {
            make_private(&config.data_dir)?;
        }
        import::kazoo(&args, &config).await
    })
}

/// Variables that libraries read once, before any of our code runs. A variable that the user sets keeps its value.
const ENVIRONMENT: [(&str, &str); 2] = [
    // The stack size of threads. The broker's client parses message headers recursively on its own thread. With the
    // default of 2 MiB, tables nested a thousand deep (7 KB) would end the process, and again at each restart. Unused
    // stack takes no memory.
    ("RUST_MIN_STACK", "67108864"),
    // The allocator's pools. One thread does most of the work, and memory of a burst is returned soon.
    ("_RJEM_MALLOC_CONF", "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0"),
];

/// Receives SIGHUP from now on, because a reload that is requested too early must not end the starting program. The
/// returned signal remembers it.
fn take_hangups() -> std::io::Result<Signal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // The handler outlives this runtime: any other running runtime passes signals on.
    signal(SignalKind::hangup())
}

/// Restarts the program with this environment, in the same process.
fn with_environment() {
    let missing = || ENVIRONMENT.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    if missing().next().is_none() {
        return;
    }
    let mut args = std::env::args_os();
    let program = std::env::current_exe().map(|path| {
        let mut program = std::process::Command::new(path);
        if let Some(name) = args.next() {
            program.arg0(name);
        }
        program.args(args).envs(missing()).exec()
    });
    let error = program.unwrap_or_else(|error| error);
    let names: Vec<String> = missing().map(|(name, value)| format!("{name}={value}")).collect();
    report(&format!("cannot restart with a new environment, set {}: {error}", names.join(" ")));
}

fn serve(settings: &Settings) -> ExitCode {
    with_environment();
    let hangup = match take_hangups() {
        Ok(hangup) => hangup,
        Err(error) => return fail(&error.into()),
    };
    let config = match settings.load() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let logging = match telemetry::start(&config.telemetry) {
        Ok(logging) => logging,
        Err(error) => return refuse(&error),
    };
    tracing::info!(open_files = raise_open_files(), "starting");
    if let Err(error) = check_limits(&config) {
        return fail(&error.into());
    }
    run(serve_until_signalled(config, settings, logging.lost_lines(), hangup))
}

/// Narrows the permissions of the data directory.
fn make_private(dir: &Path) -> anyhow::Result<()> {
    let owner = check_data_dir(dir)?;
    let Narrowed { found, left } = narrow(dir)?;
    let is_new = !dir.join("journal").exists();
    let dir = dir.display();
    let text = "other users could read or write in the data directory; now they cannot";
    match found {
        0 => {}
        // Before the first start there is nothing to read yet, so nothing to warn of.
        found if is_new => tracing::info!(%dir, found, "{text}"),
        found => tracing::warn!(%dir, found, "{text}"),
    }
    if let Some(owner) = owner {
        tracing::warn!(%dir, owner, "the data directory belongs to another user, who can replace its files");
    }
    if let Some(mode) = left {
        let mode = format!("{mode:04o}");
        tracing::warn!(
            %dir, mode,
            "the data directory belongs to another user: what is in it is this user's alone, but members of \
             its group may remove files; let no other user be one"
        );
    }
    Ok(())
}

async fn serve_until_signalled(
    config: Config,
    settings: &Settings,
    lost: telemetry::LostLines,
    hangup: Signal,
) -> anyhow::Result<()> {
    // A SIGHUP is remembered until the program is ready. While it stops, a SIGHUP does nothing.
    let ended = shutdown_signal()?;
    make_private(&config.data_dir)?;
    let key_file = config.data_dir.join("master.key");
    let app = App::build_with(config, Clock::system(), lost).await?;
    if let Some(key) = app.first_key() {
        // The key is printed on a terminal only: as a service, stderr is a log, and no secret belongs in a log.
        let shown = if std::io::stderr().is_terminal() {
            format!(", shown only once: {}", key.reveal())
        } else {
            String::new()
        };
        report(&format!("stored the master account's API key in {}{shown}", key_file.display()));
    }
    let ready = serde_json::json!({
        "ready": true,
        "http": app.http_addr().to_string(),
        "websocket": app.websocket_addr().to_string(),
        "pid": std::process::id(),
    });
    // The parent process may not read the line, or may have ended. Neither ends this program.
    print_within(PRINT, move || writeln!(std::io::stdout(), "{ready}"));
    let reloading = Box::pin(reload_at(hangup, app.reload().clone(), settings));
    app.run(async {
        tokio::select! { () = ended => {}, () = reloading => {} }
    })
    .await
}

/// Reloads the configuration at every SIGHUP. Never ends.
async fn reload_at(mut hangup: Signal, reload: Reload, settings: &Settings) {
    while hangup.recv().await.is_some() {
        let settings = settings.clone();
        reload
            .now(move || {
                let config = settings.load().map_err(|error| error.without_value())?;
                telemetry::check(&config.telemetry).map_err(|error| error.without_value())?;
                Ok::<_, String>(config)
            })
            .await;
    }
    std::future::pending::<()>().await;
}

/// Resolves at the first SIGTERM or SIGINT. A second one ends the process at once, whatever the program is doing,
/// because signals have their own thread.
fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (listening, listens) = std::sync::mpsc::channel();
    let (first, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let waited = runtime.and_then(|runtime| runtime.block_on(signals(&listening, first)));
        if let Err(error) = waited {
            drop(listening.send(Err(error)));
        }
    })?;
    listens.recv()??;
    Ok(async {
        if ended.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

async fn signals(
    listening: &std::sync::mpsc::Sender<std::io::Result<()>>,
    first: tokio::sync::oneshot::Sender<()>,
) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(listening.send(Ok(())));
    let mut first = Some(first);
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first.take().is_none_or(|first| first.send(()).is_err()) {
            report("second signal: ending at once");
            #[expect(clippy::exit, reason = "asked for by the second signal; nothing may delay it")]
            std::process::exit(1);
        }
    }
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = runtime.block_on(work);
    // Blocking reads that outlive their step must not delay the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn inspect(command: &LogCommand) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match offline::inspect(command, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

fn restore(from: &Path, data_dir: &Path) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    copied(runtime.block_on(backup::restore(from, data_dir, &Clock::system())))
}

/// Prints one line per log. Damage that was copied is a failure, as for `log verify`.
fn copied(made: Result<Vec<Copied>, BackupError>) -> ExitCode {
    let logs = match made {
        Ok(logs) => logs,
        Err(error) => return fail(&error.into()),
    };
    let mut out = std::io::stdout().lock();
    for log in &logs {
        if let Err(error) = writeln!(out, "{}", serde_json::json!(log)) {
            return fail(&error.into());
        }
    }
    if logs.iter().all(|log| log.damage.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    report(&error.to_string());
    ExitCode::from(USAGE)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // The text of some errors already ends with their cause.
        if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    // Libraries keep only the text of an error.
    if message.contains(&std::io::Error::from(rustix::io::Errno::NOSPC).to_string()) {
        message.push_str("; free some space on that disk and try again");
    }
    report(&message);
    ExitCode::FAILURE
}

/// Prints a message on one line, even if a value in it contains line breaks.
fn report(message: &str) {
    let message = message.replace(|c: char| c.is_control(), " ");
    // If stderr is closed, the exit code still tells the result.
    print_within(PRINT, move || writeln!(std::io::stderr(), "switchhook: {message}"));
}

/// Prints on a separate thread and waits for it no longer than `within`, so that an unread pipe blocks nothing.
fn print_within(within: Duration, print: impl Fn() -> std::io::Result<()> + Clone + Send + 'static) {
    let (done, printed) = std::sync::mpsc::sync_channel(1);
    let beside = print.clone();
    let printing = std::thread::Builder::new().name("print".to_owned()).spawn(move || {
        // Fails without a reader, or when the caller has stopped waiting.
        drop(beside());
        let _waits = done.send(());
    });
    match printing {
        Ok(_) => {
            let _printed = printed.recv_timeout(within);
        }
        // No thread can be started, so the message is printed here.
        Err(_) => drop(print()),
    }
}
