//! The requesters of all zones. A message goes to the zone that it concerns, or to all zones.
//!
//! A zone may have several brokers, and KAZOO uses one of them at a time. A message goes to the first broker that is
//! connected and has a listener; another broker is tried only if nobody can have received the message. Zones are asked
//! concurrently, so a zone that is down does not delay the others.

use std::sync::Arc;

use futures_util::future::join_all;

use super::error::CommandError;
use super::requester::Requester;
use crate::kazoo::{AnswerError, Message};

/// The requesters of one zone, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct ZoneRequesters {
    /// The zone's name; empty for a single zone without a name.
    pub name: String,
    /// A requester for each of its brokers.
    pub brokers: Vec<Requester>,
}

/// Publishes and asks in all zones. A cheap handle.
#[derive(Debug, Clone)]
pub struct Zones(Arc<[ZoneRequesters]>);

impl From<Requester> for Zones {
    fn from(only: Requester) -> Self {
        Self::new(vec![ZoneRequesters { name: String::new(), brokers: vec![only] }])
    }
}

impl Zones {
    /// Uses these zones. The first one is the zone of this program.
    #[must_use]
    pub fn new(zones: Vec<ZoneRequesters>) -> Self {
        Self(zones.into())
    }

    /// The zones of a program without a broker.
    #[must_use]
    pub fn none() -> Self {
        Requester::disabled().into()
    }

    /// Our name for the brokers.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.iter().flat_map(|zone| &zone.brokers).next().map_or("", Requester::node)
    }

    /// The most requests that one broker may have under way.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.0.iter().flat_map(|zone| &zone.brokers).next().map_or(0, Requester::max_in_flight)
    }

    fn of(&self, zone: Option<u16>) -> &[ZoneRequesters] {
        let one = zone.map(usize::from).and_then(|zone| self.0.get(zone..=zone));
        one.unwrap_or(&self.0)
    }

    /// Publishes a message once in its zone, or once in each zone if the zone is unknown. Returns when a broker has
    /// it in at least one queue.
    pub async fn publish(&self, zone: Option<u16>, message: Message) -> Result<(), CommandError> {
        let published = self.of(zone).iter().map(|zone| zone.publish(message.clone()));
        best(join_all(published).await)
    }

    /// Publishes a message in only one zone, the first that has a listener.
    pub async fn publish_once(&self, message: Message) -> Result<(), CommandError> {
        let mut missed = CommandError::NoBroker;
        for zone in self.0.iter() {
            match zone.publish(message.clone()).await {
                // Only a certain failure allows another try. A command that may have arrived must not be carried
                // out twice.
                Err(error) if error.is_certain() => missed = error,
                published => return published,
            }
        }
        Err(missed)
    }

    /// Asks one zone, or all zones concurrently, and collects what `read` makes of the answers. Fails only when no zone
    /// answers.
    pub async fn ask<T>(
        &self,
        zone: Option<u16>,
        message: Message,
        read: impl Fn(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<Vec<T>, CommandError> {
        let asked = self.of(zone).iter().map(|zone| zone.ask(message.clone(), &read));
        let answers = join_all(asked).await;
        for (zone, answer) in self.of(zone).iter().zip(&answers) {
            if let Err(error) = answer
                && answers.iter().any(Result::is_ok)
            {
                tracing::debug!(zone = zone.name, %error, "a zone has not answered, but others have");
            }
        }
        let answers: Result<Vec<Vec<T>>, CommandError> = if answers.iter().any(Result::is_ok) {
            Ok(answers.into_iter().flatten().collect())
        } else {
            Err(best(answers).err().unwrap_or(CommandError::NoBroker))
        };
        answers.map(|answers| answers.into_iter().flatten().collect())
    }
}

impl ZoneRequesters {
    async fn publish(&self, message: Message) -> Result<(), CommandError> {
        let mut missed = CommandError::NoBroker;
        for broker in &self.brokers {
            match broker.publish(message.clone()).await {
                // Nobody can have received it, so the next broker is tried.
                Err(error) if error.is_certain() => missed = worse(missed, error),
                published => return published,
            }
        }
        Err(missed)
    }

    async fn ask<T>(
        &self,
        message: Message,
        read: &impl Fn(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<Vec<T>, CommandError> {
        let mut missed = CommandError::NoBroker;
        for broker in &self.brokers {
            match broker.ask(message.clone(), read).await {
                Err(error) if error.is_certain() => missed = worse(missed, error),
                answered => return answered,
            }
        }
        Err(missed)
    }
}

/// A success if there is one, otherwise the most important error.
fn best<T>(results: Vec<Result<T, CommandError>>) -> Result<T, CommandError> {
    let mut missed = CommandError::NoBroker;
    for result in results {
        match result {
            Ok(done) => return Ok(done),
            Err(error) => missed = worse(missed, error),
        }
    }
    Err(missed)
}

/// The more important of two errors for a caller. A command that may have been carried out comes first, then a broker
/// that is not connected, then a missing listener.
fn worse(one: CommandError, other: CommandError) -> CommandError {
    let weight = |error: &CommandError| match error {
        CommandError::NoBroker => 0,
        CommandError::NobodyListens => 1,
        CommandError::NotConnected(_) => 2,
        CommandError::Busy(_) | CommandError::Refused => 3,
        CommandError::NoAnswer(_) => 4,
        CommandError::Unconfirmed | CommandError::Unknown | CommandError::NotBridged => 5,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_several_zones_is_the_most_important_one() {
        let away = || CommandError::NotConnected("away".to_owned());
        let none = || CommandError::NobodyListens;
        assert_eq!(best(vec![Err(none()), Ok(1), Err(away())]), Ok(1));
        assert_eq!(best::<()>(vec![Err(none()), Err(away())]), Err(away()));
        assert_eq!(
            best::<()>(vec![Err(CommandError::Unconfirmed), Err(none())]),
            Err(CommandError::Unconfirmed)
        );
    }
}
