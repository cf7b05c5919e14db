//! Progress on a terminal; silence when piped.

use std::fmt;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::pipeline::Progress;

use super::common::grouped;

/// A bar on standard error when that is a terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Returns a bar for `expected` flows, or a spinner when the number is not known.
    pub(super) fn new(what: &str, expected: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = match expected {
            Some(_) => "{msg:<10} {wide_bar} {human_pos}/{human_len} {rate:>12} {eta:>4}",
            None => "{msg:<10} {spinner} {human_pos} flows {rate:>12}",
        };
        let bar = expected.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant")
            .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A rate that cannot be shown is no reason to stop.
                let _ = write!(out, "{}/s", grouped(state.per_sec() as u64));
            });
        Self(bar.with_style(style).with_message(what.to_owned()))
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn scored(&self, flows: u64) {
        self.0.inc(flows);
    }

    fn sorting(&self) {
        self.0.reset();
        self.0.set_message("sorting");
    }
}
