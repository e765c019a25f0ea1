//! The command line of what operators ask of a running program: hooks and websocket sessions of all accounts.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::Ours;
use crate::model::{AccountId, HookId};

/// What can be done with the hooks of a running program.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// List hooks with their state, those that need a person first
    List(HooksListArgs),
    /// Forget the failures that count towards disabling a hook
    ResetFailures(ResetArgs),
    /// Enable hooks again that failures have disabled
    Enable(EnableArgs),
}

/// Whose hooks or sessions: everybody's unless given.
#[derive(Debug, Clone, Default, Args)]
pub struct Scope {
    /// Only those of this account
    #[arg(long, value_name = "ID", conflicts_with = "below")]
    pub account: Option<AccountId>,
    /// Only those of this account and of all accounts below it
    #[arg(long, value_name = "ID")]
    pub below: Option<AccountId>,
}

/// Which hooks are listed.
#[derive(Debug, Clone, Args)]
pub struct HooksListArgs {
    /// Whose.
    #[command(flatten)]
    pub scope: Scope,
    /// Only hooks in one of these states, such as failing,disabled
    #[arg(long, value_name = "STATE,…")]
    pub state: Option<String>,
    /// Only hooks with this text in their name, URI, id, event or account
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

/// Whose failures are forgotten.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["account", "below"]))]
pub struct ResetArgs {
    /// Whose.
    #[command(flatten)]
    pub scope: Scope,
    /// Only this hook of the account; may be repeated
    #[arg(long, value_name = "ID", requires = "account")]
    pub hook: Vec<HookId>,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

/// Whose hooks are enabled.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["account", "below"]))]
pub struct EnableArgs {
    /// Whose.
    #[command(flatten)]
    pub scope: Scope,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

/// What can be done with the websocket sessions of a running program.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List who is connected by websocket, and from where
    List(SessionsListArgs),
    /// End sessions: those named, or all of an account or an address
    Close(SessionsCloseArgs),
}

/// Which sessions.
#[derive(Debug, Clone, Default, Args)]
pub struct Sessions {
    /// Whose.
    #[command(flatten)]
    pub scope: Scope,
    /// Only those of a client at this address
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
}

/// Which sessions are listed.
#[derive(Debug, Clone, Args)]
pub struct SessionsListArgs {
    /// Which.
    #[command(flatten)]
    pub sessions: Sessions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}

/// Which sessions are ended.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["id", "account", "below", "from"]))]
pub struct SessionsCloseArgs {
    /// Sessions by their ids (`IP:PORT`, as listed)
    #[arg(value_name = "SESSION")]
    pub id: Vec<String>,
    /// Which.
    #[command(flatten)]
    pub sessions: Sessions,
    /// Where the running program is.
    #[command(flatten)]
    pub ours: Ours,
}
