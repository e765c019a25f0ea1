//! A configuration file made of settings as for `--set`. A test can rewrite it while the program runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::app::settings;

/// The file and its settings.
pub struct ConfigFile {
    path: PathBuf,
    keys: BTreeMap<String, String>,
}

impl ConfigFile {
    /// The settings of tests and `more`, for a program on the data directory `data`.
    pub fn new(path: PathBuf, data: &Path, more: &[String]) -> Self {
        let mut file = Self { path, keys: BTreeMap::new() };
        file.set(&settings(data, more));
        file
    }

    /// Says this as well from now on.
    pub fn set(&mut self, settings: &[impl AsRef<str>]) {
        for setting in settings {
            let (key, value) = setting.as_ref().split_once('=').unwrap();
            self.keys.insert(key.to_owned(), value.to_owned());
        }
        self.write("");
    }

    /// Writes it, with more text at its end.
    pub fn write(&self, more: &str) {
        let mut text: String = self.keys.iter().map(|(key, value)| line(key, value)).collect();
        text.push_str(more);
        std::fs::write(&self.path, text).unwrap();
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that it says, as settings.
    pub fn settings(&self) -> Vec<String> {
        self.keys.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

fn line(key: &str, value: &str) -> String {
    let as_it_is = format!("{key} = {value}\n");
    if as_it_is.parse::<toml::Table>().is_ok() {
        return as_it_is;
    }
    format!("{key} = {}\n", toml::Value::String(value.to_owned()))
}
