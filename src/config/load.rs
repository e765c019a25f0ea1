//! Loading the configuration: merges its sources, and reports which key of which source is wrong.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Config;
use super::error::{ConfigError, rule};

/// The default configuration, which also documents every key.
pub(super) const DEFAULTS: &str = include_str!("../../config/switchhook.toml");
const PREFIX: &str = "SWITCHHOOK__";

/// The sources that override the defaults.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// All environment variables. Those without our prefix are ignored.
    pub env: Vec<(String, String)>,
    /// The values of `--set key=value`, in order.
    pub set: Vec<String>,
}

/// Loads and checks the configuration from all sources.
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
    no_near_miss(&overlay.env)?;
    for setting in &overlay.set {
        let origin = format!("--set {}", setting.split('=').next().unwrap_or(""));
        let (key, value) = setting.split_once('=').ok_or_else(|| ConfigError::Syntax {
            origin: format!("--set {setting}"),
            message: "does not have the form section.key=value".to_owned(),
        })?;
        set(&mut table, key, value, &origin)?;
    }
    let config = typed(&table)?;
    config.check()?;
    Ok(config)
}

/// Refuses a variable that differs from a known one only in its underscores. Other variables that begin like ours are
/// ignored: Kubernetes sets some for every service (`SWITCHHOOK_PORT`).
fn no_near_miss(env: &[(String, String)]) -> Result<(), ConfigError> {
    let variable = |key: &String| format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
    let plain = |name: &str| name.to_uppercase().replace("__", "_");
    let ours: Vec<String> = Config::keys().iter().map(variable).collect();
    for (name, _) in env.iter().filter(|(name, _)| name.to_uppercase().starts_with("SWITCHHOOK_")) {
        if name.starts_with(PREFIX) {
            continue;
        }
        if let Some(right) = ours.iter().find(|right| plain(right) == plain(name)) {
            return Err(ConfigError::Variable { name: name.clone(), right: right.clone() });
        }
    }
    Ok(())
}

pub(super) fn parse(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        // The line itself is not shown, because it may contain a secret.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let message = format!("line {line}: {}", error.message().replace('\n', ", "));
        ConfigError::Syntax { origin: origin.to_owned(), message }
    })
}

/// Whether a key exists. The structs are the only list of keys, so keys without a default are known too.
fn is_known(key: &str) -> bool {
    Config::keys().iter().any(|known| known == key)
}

fn known(table: &Table, origin: &str) -> Result<(), ConfigError> {
    let keys = Config::keys();
    let has_section = |name: &str| keys.iter().any(|key| key.split_once('.').is_some_and(|(s, _)| s == name));
    for (name, value) in table {
        let named: Vec<String> = match value {
            Value::Table(inner) if has_section(name) => {
                let nested = |key: &String| format!("{name}.{key}");
                let is_section = |key: &str| keys.iter().any(|known| known.starts_with(&format!("{key}.")));
                let all = inner.iter().flat_map(|(key, value)| match value {
                    Value::Table(deeper) if is_section(&nested(key)) => {
                        deeper.keys().map(|last| format!("{}.{last}", nested(key))).collect()
                    }
                    _ => vec![nested(key)],
                });
                all.filter(|key| !is_section(key)).collect()
            }
            // A section of another type is reported when types are checked.
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

/// Sets a dotted key from text. The text is parsed as TOML unless the key holds a text.
fn set(table: &mut Table, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    if !is_known(key) {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned() });
    }
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut place = Some(table);
    for part in section.split('.').filter(|part| !part.is_empty()) {
        place = place.and_then(|table| table.get_mut(part)).and_then(Value::as_table_mut);
    }
    let Some(place) = place else {
        return Err(ConfigError::UnknownKey { origin: origin.to_owned(), key: key.to_owned() });
    };
    let wants_text = place.get(name).is_none_or(Value::is_str);
    let parsed = if wants_text { None } else { format!("v = {text}").parse::<Table>().ok() };
    let value = parsed.and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()));
    // A list of texts may be given without brackets, separated by commas.
    let value = match (place.get(name), value) {
        (Some(Value::Array(_)), Value::String(one)) => {
            Value::Array(one.split(',').map(|s| Value::String(s.trim().to_owned())).collect())
        }
        (_, value) => value,
    };
    place.insert(name.to_owned(), value);
    Ok(())
}

/// Checks the types. Tries each key by itself on error, so that the error can name the key.
fn typed(table: &Table) -> Result<Config, ConfigError> {
    Value::Table(table.clone()).try_into::<Config>().map_err(|whole| {
        let key = culprit(table).unwrap_or_else(|| "configuration".to_owned());
        let rule = rule(&key, whole.message());
        ConfigError::Type { key, rule }
    })
}

/// The first key whose value cannot be combined with the defaults.
fn culprit(table: &Table) -> Option<String> {
    // serde names the wrong type but not the key. So try one key at a time over the defaults, which are valid.
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
        for (path, value) in leaves(keys) {
            let mut tried = defaults.clone();
            let Some((name, sections)) = path.split_last() else { continue };
            let mut place = tried.get_mut(section).and_then(Value::as_table_mut);
            for nested in sections {
                place = place.and_then(|table| table.get_mut(*nested)).and_then(Value::as_table_mut);
            }
            if let Some(place) = place {
                place.insert((*name).to_owned(), value.clone());
            }
            if !is_readable(tried) {
                return Some(format!("{section}.{}", path.join(".")));
            }
        }
    }
    None
}

/// The keys of a section with those of sections within it, each with its path.
fn leaves(table: &Table) -> Vec<(Vec<&str>, &Value)> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                let deeper = leaves(inner).into_iter();
                all.extend(deeper.map(|(path, value)| ([vec![name.as_str()], path].concat(), value)));
            }
            value => all.push((vec![name.as_str()], value)),
        }
    }
    all
}

/// The default configuration.
impl Default for Config {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "compiled in, and held by a test")]
        load(&Overlay::default()).expect("the compiled-in defaults are valid")
    }
}

/// For tests and tools that use another data directory.
impl Config {
    /// The same configuration over another data directory.
    #[must_use]
    pub fn with_data_dir(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.data_dir);
        self
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
