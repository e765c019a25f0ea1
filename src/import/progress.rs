//! A progress bar on a terminal. Shows nothing if stderr is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::onboarding::source::{Progress, Stage};

/// The bar. Dropping it removes it from the terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length().with_message("connecting");
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn at(&self, stage: Stage, done: usize, of: Option<usize>) {
        let what = match stage {
            Stage::Accounts => "reading accounts",
            Stage::Hooks => "reading hooks",
            Stage::Limits => "reading failure limits",
            Stage::Users => "reading users",
            Stage::Writing => "writing",
        };
        if self.0.message() != what {
            self.0.set_message(what);
            let form = if of.is_some() { "{msg:24} {wide_bar} {pos}/{len}" } else { "{msg:24} {pos}" };
            if let Ok(style) = ProgressStyle::with_template(form) {
                self.0.set_style(style);
            }
        }
        if let Some(of) = of {
            self.0.set_length(of as u64);
        }
        self.0.set_position(done as u64);
    }
}
