//! A progress bar on a terminal. Shows nothing if stderr is not a terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::onboarding::source::{Progress, Stage};

/// The bar. Dropping it removes it from the terminal.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Whether a reading has come to what takes a request for each account.
    has_lists: AtomicBool,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length().with_message("connecting");
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, has_lists: AtomicBool::new(false) }
    }

    /// Whether a reading has read its lists, so that breaking off loses work.
    pub(super) fn has_lists(&self) -> bool {
        self.has_lists.load(Ordering::Relaxed)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn at(&self, stage: Stage, done: usize, of: Option<usize>) {
        // Lists do not say how many hooks there are.
        if stage != Stage::Accounts && of.is_some() {
            self.has_lists.store(true, Ordering::Relaxed);
        }
        let what = match stage {
            Stage::Accounts => "reading accounts",
            Stage::Hooks => "reading hooks",
            Stage::Limits => "reading failure limits",
            Stage::Users => "reading users",
            Stage::Writing => "writing",
        };
        if self.bar.message() != what {
            self.bar.set_message(what);
            let form = if of.is_some() { "{msg:24} {wide_bar} {pos}/{len}" } else { "{msg:24} {pos}" };
            if let Ok(style) = ProgressStyle::with_template(form) {
                self.bar.set_style(style);
            }
        }
        if let Some(of) = of {
            self.bar.set_length(of as u64);
        }
        self.bar.set_position(done as u64);
    }
}
