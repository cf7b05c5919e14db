//! The daily network report: what a day was like, for a person with a phone.
//!
//! ```text
//! Scope ─collect→ ReportData ─Renderer (reports/*.hbs)→ Rendered { subject, text, mail, page, json }
//! ```
//!
//! [`collect`] asks the store; [`Renderer::render`] is pure. Whatever a template prints is a figure
//! of [`ReportData`], so `report.json` holds every figure of the mail. Strings from documents may
//! hold anything: they are cleaned and escaped on their way into a template, never trusted.
//!
//! [`exploration_page`] and [`exploration_text`] tell what a labelled table holds; they share
//! charts and cleaning with the report.
//!
//! A section is one file here (its data, `collect`, `pictures`) with two templates in `reports/`
//! (`<section>.html.hbs`, `<section>.txt.hbs`) and one pair of lines below.

mod alerts;
mod attacks;
mod clean;
mod collect;
mod day;
mod error;
mod exploration;
mod figure;
mod hosts;
mod pipeline;
mod render;
mod talkers;
mod templates;
mod traffic;
mod verdict;

use serde::Serialize;

pub use alerts::{
    AlertEntry, Alerts, FeatureLine, FlowLine, MOST_ALERTS, MOST_FEATURES, MOST_FLOWS,
    TechniqueLine,
};
pub use attacks::{Attacks, HourAnomalies, KindCount, SeverityCount};
pub use collect::Scope;
pub use day::{Day, Hour, Period};
pub use error::ReportError;
pub use exploration::{Origin, exploration_page, exploration_text};
pub use figure::Figure;
pub use hosts::{Host, Hosts, MOST_HOSTS};
pub use pipeline::{Fact, Pipeline};
pub use render::{Rendered, RenderedPicture, Renderer};
pub use talkers::{MOST_TALKERS, Talker, Talkers};
pub use templates::Templates;
pub use traffic::{BusiestHour, HourTraffic, ProtocolShare, Traffic, UsualBytes};
pub use verdict::{Level, Verdict, judge};

/// One section of the report.
pub struct Section {
    /// The name of its module, of its key in the data and of its templates.
    pub id: &'static str,
    /// The part of the HTML document.
    html: &'static str,
    /// The part of the plain text.
    text: &'static str,
    /// The charts that its HTML shows.
    pictures: fn(&ReportData) -> Vec<Picture>,
}

/// One chart, not painted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    /// The name in templates and, in mails, of the part.
    id: &'static str,
    /// What it says, for those who do not see it.
    alt: String,
    /// The picture.
    svg: String,
}

/// Declares the sections, in the order of the report: module and type of its data.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident: $data:ty,)*) => {
        /// Every figure of a report; written as `report.json`.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct ReportData {
            /// Whose network.
            pub namespace: String,
            /// Which day.
            pub period: Period,
            /// The day in one line.
            pub verdict: Verdict,
            $($(#[$doc])* pub $name: $data,)*
        }

        /// All sections, in the order of the report.
        pub const SECTIONS: &[Section] = &[$(Section {
            id: stringify!($name),
            html: include_str!(concat!("../../reports/", stringify!($name), ".html.hbs")),
            text: include_str!(concat!("../../reports/", stringify!($name), ".txt.hbs")),
            pictures: $name::pictures,
        }),*];

        /// Reads one day from the store. Blocks; takes some twenty searches.
        ///
        /// # Errors
        /// When the store fails.
        pub fn collect(scope: Scope<'_>) -> Result<ReportData, ReportError> {
            let source = collect::Source::load(scope)?;
            let mut report = ReportData {
                namespace: source.scope.namespace.to_string(),
                period: source.scope.day.period(),
                verdict: Verdict::default(),
                $($name: $name::collect(&source)?),*
            };
            report.verdict = judge(&report.traffic, &report.attacks, &report.hosts);
            Ok(report)
        }
    };
}

sections! {
    /// The hosts to look at first.
    hosts: Hosts,
    /// The alerts, each with its proof.
    alerts: Alerts,
    /// Kinds, severities and hours of anomalies.
    attacks: Attacks,
    /// Totals, protocols and hours of traffic.
    traffic: Traffic,
    /// Who sent and received most.
    talkers: Talkers,
    /// What became of the records on their way.
    pipeline: Pipeline,
}

impl ReportData {
    /// Returns `report.json`: every figure, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("report data has string keys only") + "\n"
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
