//! The keys that a running program can reload, and the difference between two configurations.
//!
//! The table below is the only list of these keys. `config/switchhook.toml` marks the same keys for its readers.

use super::Config;

macro_rules! reloadable {
    ($($section:ident: $($key:ident),+;)+) => {
        /// The keys that a running program can reload. All others take effect at the next start.
        pub const RELOADABLE: &[&str] =
            &[$($(concat!(stringify!($section), ".", stringify!($key))),+),+];

        impl Config {
            /// Takes the reloadable keys of another configuration, and no others.
            pub fn take_reloadable(&mut self, from: &Self) {
                $($(self.$section.$key.clone_from(&from.$section.$key);)+)+
            }
        }
    };
}

reloadable! {
    kazoo: mode, shadow_sink;
    retention: max_age_hours, max_bytes;
    queues: max_replays;
    accounts: unknown_wait_s, unknown_wait_bytes;
    delivery: max_in_flight, per_hook_in_flight, per_host_in_flight;
    delivery: connect_timeout_ms, request_timeout_ms;
    delivery: response_read_bytes, response_keep_bytes, success_keep_bytes;
    retry: initial_ms, max_ms;
    disable: failure_count, window_ms, probe_initial_ms, probe_max_ms;
}

/// The names of the keys in which two configurations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Keys that a running program can reload.
    pub reloadable: Vec<String>,
    /// Keys that take effect at the next start.
    pub at_next_start: Vec<String>,
}

impl Config {
    /// The difference to another configuration.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Difference {
        let keys = self.differing(other).into_iter();
        let (reloadable, at_next_start) = keys.partition(|key| RELOADABLE.contains(&key.as_str()));
        Difference { reloadable, at_next_start }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Overlay, load};
    use super::*;

    fn with(settings: &[&str]) -> Config {
        let set = settings.iter().map(|s| (*s).to_owned()).collect();
        load(&Overlay { set, ..Overlay::default() }).unwrap()
    }

    /// The keys of config/switchhook.toml whose lines end with `# reload`.
    fn marked() -> Vec<String> {
        let (mut section, mut found) = ("", Vec::new());
        for line in include_str!("../../config/switchhook.toml").lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
            }
            // A key without a default is commented out.
            let line = line.strip_prefix("# ").unwrap_or(line);
            let value = line.strip_suffix(" # reload").filter(|line| !line.starts_with('#'));
            if let Some((key, _)) = value.and_then(|line| line.split_once(" = ")) {
                found.push(format!("{section}.{key}"));
            }
        }
        found
    }

    #[test]
    fn config_switchhook_toml_marks_exactly_the_reloadable_keys() {
        let (mut marked, mut taken) = (marked(), RELOADABLE.to_vec());
        marked.sort_unstable();
        taken.sort_unstable();
        assert_eq!(marked, taken);
    }

    #[test]
    fn the_difference_has_the_names_of_keys_and_no_values() {
        let before = with(&["metrics.token=one", "retry.initial_ms=100"]);
        assert_eq!(before.difference(&before.clone()), Difference::default());
        let after = with(&["metrics.token=two", "retry.initial_ms=200", "data_dir=elsewhere"]);
        let difference = before.difference(&after);
        assert_eq!(difference.reloadable, ["retry.initial_ms"]);
        assert_eq!(difference.at_next_start, ["data_dir", "metrics.token"]);
    }

    #[test]
    fn a_reload_takes_the_reloadable_keys_and_leaves_all_others() {
        let mut running = Config::default();
        let value = |key: &str| match key {
            "retention.max_bytes" => "1048576",
            "kazoo.mode" => "shadow",
            "kazoo.shadow_sink" => "http://sink.example/",
            _ => "77",
        };
        let mut settings: Vec<String> =
            RELOADABLE.iter().map(|key| format!("{key}={}", value(key))).collect();
        settings.push("queues.window=7".to_owned());
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let new = with(&settings);
        assert_eq!(running.difference(&new).reloadable.len(), RELOADABLE.len(), "every key is another");
        running.take_reloadable(&new);
        let left = running.difference(&new);
        assert_eq!((left.reloadable.len(), left.at_next_start), (0, vec!["queues.window".to_owned()]));
        assert_eq!(Config::default().difference(&running).at_next_start, Vec::<String>::new());
    }
}
