//! Laying the sources over one another, and saying which key of which source is wrong.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Config;

/// The defaults, and their documentation.
const DEFAULTS: &str = include_str!("../../config/switchhook.toml");
const PREFIX: &str = "SWITCHHOOK__";

/// A configuration that cannot be used: one line that says what and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A source is not valid TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Which source.
        origin: String,
        /// Where and what.
        message: String,
    },
    /// A key is not known.
    #[error("{origin}: unknown key '{key}'; config/switchhook.toml lists every key")]
    UnknownKey {
        /// Which source.
        origin: String,
        /// The whole key.
        key: String,
    },
    /// A value has the wrong type.
    #[error("{key}: {message}")]
    Type {
        /// The whole key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value is out of its range, or does not fit another.
    #[error("{key} = {value}: {rule}")]
    Value {
        /// The whole key.
        key: &'static str,
        /// As given.
        value: String,
        /// What would be right.
        rule: String,
    },
}

impl ConfigError {
    /// What is wrong, for the log: no value of a key belongs there.
    #[must_use]
    pub fn without_value(&self) -> String {
        match self {
            Self::Value { key, rule, .. } => format!("{key}: {rule}"),
            Self::Type { key, .. } => {
                format!("{key}: has a value of another type than in config/switchhook.toml")
            }
            Self::File { .. } | Self::Syntax { .. } | Self::UnknownKey { .. } => self.to_string(),
        }
    }
}

/// What lies over the defaults.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment (all of it; only our prefix counts).
    pub env: Vec<(String, String)>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
}

/// The configuration from all sources, checked.
pub fn load(overlay: &Overlay) -> Result<Config, ConfigError> {
    let defaults = parse(DEFAULTS, "defaults")?;
    let mut table = defaults.clone();
    if let Some(path) = &overlay.file {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.clone(), error })?;
        let origin = format!("config file {}", path.display());
        let over = parse(&text, &origin)?;
        known(&over, &origin)?;
        merge(&mut table, over);
    }
    let mut env: Vec<_> = overlay.env.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    env.sort();
    for (name, value) in env {
        let key = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".");
        set(&mut table, &key, value, &format!("environment variable {name}"))?;
    }
    for setting in &overlay.set {
        let origin = format!("--set {}", setting.split('=').next().unwrap_or(""));
        let (key, value) = setting.split_once('=').ok_or_else(|| ConfigError::Syntax {
            origin: format!("--set {setting}"),
            message: "is not of the form section.key=value".to_owned(),
        })?;
        set(&mut table, key, value, &origin)?;
    }
    let config = typed(&table)?;
    config.check()?;
    Ok(config)
}

fn parse(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        // The line itself is not shown: it may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let message = format!("line {line}: {}", error.message().replace('\n', ", "));
        ConfigError::Syntax { origin: origin.to_owned(), message }
    })
}

/// Whether a source may name this key. The structs of the configuration are the only list of keys, so that a key without
/// a default is known as well.
fn is_known(key: &str) -> bool {
    Config::keys().iter().any(|known| known == key)
}

fn known(table: &Table, origin: &str) -> Result<(), ConfigError> {
    let keys = Config::keys();
    let has_section = |name: &str| keys.iter().any(|key| key.split_once('.').is_some_and(|(s, _)| s == name));
    for (name, value) in table {
        let named: Vec<String> = match value {
            Value::Table(inner) if has_section(name) => {
                inner.keys().map(|key| format!("{name}.{key}")).collect()
            }
            // That a section is no table is found with its type.
            _ if has_section(name) => Vec::new(),
            _ => vec![name.clone()],
        };
        if let Some(key) = named.into_iter().find(|key| !keys.contains(key)) {
            return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key });
        }
    }
    Ok(())
}

fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => merge(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// Sets a dotted key from text: as TOML if the key's place wants more than text, else as it is.
fn set(table: &mut Table, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    if !is_known(key) {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned() });
    }
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let place =
        if section.is_empty() { Some(table) } else { table.get_mut(section).and_then(Value::as_table_mut) };
    let Some(place) = place else {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned() });
    };
    let wants_text = place.get(name).is_none_or(Value::is_str);
    let parsed = if wants_text { None } else { format!("v = {text}").parse::<Table>().ok() };
    let value = parsed.and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()));
    // A list may be given without its brackets when it has one item.
    let value = match (place.get(name), value) {
        (Some(Value::Array(_)), Value::String(one)) => {
            Value::Array(one.split(',').map(|s| Value::String(s.trim().to_owned())).collect())
        }
        (_, value) => value,
    };
    place.insert(name.to_owned(), value);
    Ok(())
}

/// Types are checked section by section, so that an error can name its key.
fn typed(table: &Table) -> Result<Config, ConfigError> {
    Value::Table(table.clone()).try_into::<Config>().map_err(|whole| {
        let culprit = culprit(table);
        let message = whole.to_string().lines().next().unwrap_or_default().trim().to_owned();
        ConfigError::Type { key: culprit.unwrap_or_else(|| "configuration".to_owned()), message }
    })
}

/// The first key whose value makes even the defaults unreadable.
fn culprit(table: &Table) -> Option<String> {
    let defaults = parse(DEFAULTS, "defaults").ok()?;
    let is_readable = |table| Value::Table(table).try_into::<Config>().is_ok();
    for (section, value) in table {
        let Value::Table(keys) = value else {
            let mut tried = defaults.clone();
            tried.insert(section.clone(), value.clone());
            if is_readable(tried) {
                continue;
            }
            return Some(section.clone());
        };
        for (name, value) in keys {
            let mut tried = defaults.clone();
            if let Some(place) = tried.get_mut(section).and_then(Value::as_table_mut) {
                place.insert(name.clone(), value.clone());
            }
            if !is_readable(tried) {
                return Some(format!("{section}.{name}"));
            }
        }
    }
    None
}

/// The defaults alone.
impl Default for Config {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "compiled in, and held by a test")]
        load(&Overlay::default()).expect("the compiled-in defaults are valid")
    }
}

/// A path for tests and tools that want another data directory.
impl Config {
    /// The same configuration over another data directory.
    #[must_use]
    pub fn with_data_dir(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.data_dir);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[&str]) -> Result<Config, String> {
        let set = settings.iter().map(|s| (*s).to_owned()).collect();
        load(&Overlay { set, ..Overlay::default() }).map_err(|e| e.to_string())
    }

    #[test]
    fn the_compiled_in_defaults_are_valid() {
        assert_eq!(Config::default().http.listen.port(), 8000);
        assert!(Config::default().amqp.uri.is_none());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = with(&["delivery.max_inflight=3"]).unwrap_err();
        assert!(error.contains("unknown key 'delivery.max_inflight'"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_its_key() {
        for more in ["retry.max_ms=1000", "retry.max_ms=soon"] {
            let error = with(&["delivery.max_in_flight=many", more]).unwrap_err();
            assert!(error.starts_with("delivery.max_in_flight"), "{error}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_range() {
        let error = with(&["retry.initial_ms=5000", "retry.max_ms=100"]).unwrap_err();
        assert!(error.starts_with("retry.max_ms = 100"), "{error}");
    }

    #[test]
    fn the_environment_overlays_and_the_command_line_comes_last() {
        let env = vec![
            ("SWITCHHOOK__DELIVERY__MAX_IN_FLIGHT".to_owned(), "77".to_owned()),
            ("SWITCHHOOK__AMQP__QUEUE".to_owned(), "5".to_owned()),
            ("UNRELATED".to_owned(), "x".to_owned()),
        ];
        let set =
            vec!["delivery.allow_addresses=[\"10.0.0.0/8\"]".to_owned(), "amqp.uri=amqp://a".to_owned()];
        let config = load(&Overlay { env, set, file: None }).unwrap();
        assert_eq!((config.delivery.max_in_flight, config.amqp.queue.as_str()), (77, "5"));
        assert_eq!(config.delivery.allow_addresses.len(), 1);
    }

    #[test]
    fn for_the_log_an_error_names_key_and_rule_without_the_value() {
        let told = |setting: &str| {
            let overlay = Overlay { set: vec![setting.to_owned()], ..Overlay::default() };
            load(&overlay).unwrap_err().without_value()
        };
        assert_eq!(told("retry.initial_ms=0"), "retry.initial_ms: must be between 1 and 86400000");
        assert_eq!(
            told("retry.initial_ms=soon"),
            "retry.initial_ms: has a value of another type than in config/switchhook.toml"
        );
        assert!(told("retry.initial=77").contains("unknown key 'retry.initial'"));
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused_by_its_line_which_is_not_shown() {
        let error = parse("[metrics]\ntoken = \"secret\n", "config file x").unwrap_err().to_string();
        assert!(error.starts_with("config file x: line 2: ") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_secret_prints_as_stars() {
        let config =
            with(&["auth.master_api_key=0000000000000000000000000000000000000000000000000000000000000000"]);
        assert!(!format!("{config:?}").contains("0000000000"));
    }
}
