//! `switchhook amqp …`: an operator's commands for the program's queue at its brokers, while the program does not run.

use std::io::Write as _;

use anyhow::anyhow;

use super::broker::{addresses, queue};
use crate::amqp::Address;
use crate::config::Config;
use crate::ingest::{self, Removal, Renewal};

/// All configured brokers.
fn brokers(config: &Config) -> anyhow::Result<Vec<Address>> {
    let addresses: Vec<Address> =
        addresses(config)?.into_iter().flat_map(|(_, addresses)| addresses).collect();
    anyhow::ensure!(!addresses.is_empty(), "neither amqp.uri nor amqp.zones is set, so there is no broker");
    Ok(addresses)
}

/// Removes the program's queue from every broker. Without `yes`, only reports what it would remove.
pub async fn remove_queue(config: &Config, yes: bool) -> anyhow::Result<()> {
    for address in brokers(config)? {
        remove_queue_at(&address, &config.amqp.queue, yes).await?;
    }
    Ok(())
}

async fn remove_queue_at(address: &Address, queue: &str, yes: bool) -> anyhow::Result<()> {
    let found = ingest::remove(address, queue, yes).await.map_err(|reason| anyhow!("{address}: {reason}"))?;
    let line = match found {
        None => format!("{address} has no queue '{queue}'"),
        Some(Removal { messages, removed: true, .. }) => {
            format!("removed the queue '{queue}' with its bindings and {messages} messages from {address}")
        }
        Some(Removal { consumers: 1.., .. }) => {
            anyhow::bail!("the queue '{queue}' has a consumer: stop the program first")
        }
        Some(Removal { messages, .. }) => format!(
            "would remove the queue '{queue}' with its bindings and {messages} messages from {address}; add --yes"
        ),
    };
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Recreates the program's queue at every broker, with the configured bounds and type.
pub async fn renew_queue(config: &Config) -> anyhow::Result<()> {
    for address in brokers(config)? {
        renew_queue_at(&address, config).await?;
    }
    Ok(())
}

async fn renew_queue_at(address: &Address, config: &Config) -> anyhow::Result<()> {
    let (queue, (bounds, queue_type)) = (&config.amqp.queue, queue(config));
    let found = ingest::renew(address, queue, bounds, queue_type).await;
    let found = found.map_err(|reason| anyhow!("{address}: {reason}"))?;
    let line = match found {
        Renewal::Absent => format!("{address} has no queue '{queue}'"),
        Renewal::AsConfigured => format!("the queue '{queue}' already has the configured arguments"),
        Renewal::Renewed { messages } => {
            format!("renewed the queue '{queue}' with its bindings and {messages} messages at {address}")
        }
        Renewal::Consumed => {
            anyhow::bail!("the queue '{queue}' has a consumer: stop the program first")
        }
        Renewal::TooMuch { messages, bytes } => anyhow::bail!(
            "the queue '{queue}' holds {messages} messages ({bytes} bytes of those that were counted), more than \
             amqp.queue_max_messages or amqp.queue_max_bytes: the broker would drop the oldest; raise the bounds, or let \
             the program consume them, and run the command again"
        ),
    };
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
