//! The requesters of all zones: what is published goes to the zone that it is about, or to all of them.
//!
//! A zone may have several brokers, of which KAZOO uses one at a time. A message goes to the first that is connected and
//! has somebody who listens; it is tried at another one only if nobody can have got it. A zone that is away delays no
//! other: zones are asked at the same time.

use std::sync::Arc;

use futures_util::future::join_all;

use super::error::CommandError;
use super::requester::Requester;
use crate::kazoo::{AnswerError, Message};

/// The requesters of one zone, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct ZoneRequesters {
    /// The zone's name; empty for the one that has none.
    pub name: String,
    /// One for each of its brokers.
    pub brokers: Vec<Requester>,
}

/// Publishes and asks in all zones; a cheap handle.
#[derive(Debug, Clone)]
pub struct Zones(Arc<[ZoneRequesters]>);

impl From<Requester> for Zones {
    fn from(only: Requester) -> Self {
        Self::new(vec![ZoneRequesters { name: String::new(), brokers: vec![only] }])
    }
}

impl Zones {
    /// These zones. The first one is where this program is at home.
    #[must_use]
    pub fn new(zones: Vec<ZoneRequesters>) -> Self {
        Self(zones.into())
    }

    /// Of a program without a broker.
    #[must_use]
    pub fn none() -> Self {
        Requester::disabled().into()
    }

    /// How we name ourselves to the brokers.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.iter().flat_map(|zone| &zone.brokers).next().map_or("", Requester::node)
    }

    /// Requests that one broker may have under way.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.0.iter().flat_map(|zone| &zone.brokers).next().map_or(0, Requester::max_in_flight)
    }

    fn of(&self, zone: Option<u16>) -> &[ZoneRequesters] {
        let one = zone.map(usize::from).and_then(|zone| self.0.get(zone..=zone));
        one.unwrap_or(&self.0)
    }

    /// Publishes a message once in its zone, or once in each zone when that is not known. Answers when a broker has it in
    /// at least one queue.
    pub async fn publish(&self, zone: Option<u16>, message: Message) -> Result<(), CommandError> {
        let published = self.of(zone).iter().map(|zone| zone.publish(message.clone()));
        best(join_all(published).await)
    }

    /// Publishes a message in the first zone where somebody listens: what must be done once and not in each zone.
    pub async fn publish_once(&self, message: Message) -> Result<(), CommandError> {
        let mut missed = CommandError::NoBroker;
        for zone in self.0.iter() {
            match zone.publish(message.clone()).await {
                Err(error) if error.is_certain() => missed = error,
                published => return published,
            }
        }
        Err(missed)
    }

    /// Asks a zone, or all zones at the same time, and gathers what `read` makes of the answers. A zone that does not
    /// answer leaves out its own; the error is for when none does.
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
                tracing::debug!(zone = zone.name, %error, "a zone has not answered; others have");
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
                // Nobody can have got it: the next broker is tried.
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

/// A success if there is one, else the error that says the most.
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

/// Of two errors, the one that a caller should hear: that something may have been done comes before that a broker is
/// away, and that before that nobody listens.
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
    fn what_a_caller_hears_of_several_zones_is_what_says_the_most() {
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
