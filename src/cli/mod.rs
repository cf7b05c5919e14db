//! The command line: what can be asked for. `app` does it.

mod blacklist;
mod models;
mod triage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::classify::ModelName;
use crate::config::Override;
use crate::model::Timestamp;
use crate::stores::{Flavour, ServerVersion};

pub use blacklist::{BlacklistArgs, BlacklistWhat, RefreshListsArgs, ShowListsArgs};
pub use models::{
    ClassifyArgs, CompareArgs, ExploreArgs, ExploreSkip, ModelsArgs, ModelsWhat, PredictArgs,
    PredictForm, PromoteArgs, RetrainArgs, RowsArgs, SplitArgs, SplitBy, TrainArgs,
};
pub use triage::{
    AddExceptionArgs, ExceptionArgs, ExceptionWhat, FeedbackArgs, FeedbackWhat, ListExceptionsArgs,
    ListFeedbackArgs, RemoveExceptionArgs, RevertArgs, ScopeArgs, TestExceptionArgs, Until,
    WhyArgs,
};

/// Finds, explains and reports abnormal network flows.
#[derive(Debug, Parser)]
#[command(name = "flowsentry", version, max_term_width = 100)]
pub struct Cli {
    /// Settings file in YAML; built-in defaults when absent.
    #[arg(short = 'c', long = "config", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Overrides one setting, for example `-E windows.keep_hosts=50`; repeatable.
    #[arg(short = 'E', value_name = "KEY=VALUE", global = true)]
    pub overrides: Vec<Override>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Score flow records and print anomalies and alerts as ECS documents.
    Score(ScoreArgs),
    /// Run as a worker: score the configured input, check health and write reports on schedule.
    Run(RunArgs),
    /// Score the raw flows of a stretch of time that are indexed in the store, and store the results.
    Backfill(BackfillArgs),
    /// Compare what is found, or what a model says, with what is known to be there.
    Evaluate(EvaluateArgs),
    /// Count the alerts that the settings would have given over past flows; stores nothing.
    Backtest(BacktestArgs),
    /// Check the last whole hour for outlier spikes and a sick pipeline (exit code 0, 1 or 2).
    Health(HealthArgs),
    /// Write the report of a day: report.eml, report.html and report.json.
    Report(ReportArgs),
    /// Write simulated traffic with labelled attacks to standard output or to a topic.
    Simulate(SimulateArgs),
    /// Send the records of files to a topic, one message each.
    Replay(ReplayArgs),
    /// List or replay what could not be used: records that are no flows, documents that were refused.
    ///
    /// The letters are those of the place under `dead_letters` in the settings. For a file of `score
    /// --dead-letters`, say `-E dead_letters.path=FILE`.
    #[command(name = "deadletter")]
    DeadLetter(DeadLetterArgs),
    /// Hide alerts that are known to be harmless, and find out what is hidden by what.
    Exception(ExceptionArgs),
    /// Say that an alert was harmless or an attack: the threshold of its kind and subject follows.
    ///
    /// Anomalies stay as they are. A running worker follows within `alerts.refresh_seconds`.
    Feedback(FeedbackArgs),
    /// Fetch lists of addresses now, or see what they hold and how old they are.
    Blacklist(BlacklistArgs),
    /// Describe a table before anything is learned from it: columns, tests, groups of like rows.
    ///
    /// Box plots by class, correlations, principal components, t tests and chi-square between normal
    /// and attack rows, K-means over a range of cluster numbers, DBSCAN.
    Explore(ExploreArgs),
    /// Learn a model of labelled rows.
    Train(TrainArgs),
    /// Say what a model makes of rows: class, probability of an attack, verdict.
    Predict(PredictArgs),
    /// Train algorithms side by side and judge them on the same rows.
    Compare(CompareArgs),
    /// Part labelled rows into those that teach, those for choices and those that test.
    Split(SplitArgs),
    /// See what models hold, promote one, go back to the one before.
    Models(ModelsArgs),
    /// Let a model judge records, and write what it says as documents.
    Classify(ClassifyArgs),
    /// Learn the models under `models.retrain` anew, now; what fails the gate changes nothing.
    Retrain(RetrainArgs),
    /// Show everything on 24 simulated hours, without any service.
    Demo(DemoArgs),
    /// Make a cluster ready: policies, pipelines, templates and indices; proves that they work.
    Setup(SetupArgs),
    /// Test parts of the installation.
    Test(TestArgs),
    /// Print what is built in.
    Export(ExportArgs),
}

/// Arguments of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Files with flow records or packet captures, plain, gzip or zstd; `-` reads a stream from standard input. The
    /// format is told from the content.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Form of the results.
    #[arg(long, value_enum, default_value_t = OutputForm::Ndjson)]
    pub output: OutputForm,
    /// Prints only one kind of document; windows are printed only when asked for.
    #[arg(long, value_enum)]
    pub only: Option<Only>,
    /// Writes all documents to the configured store as well.
    #[arg(long)]
    pub store: bool,
    /// Format of the records, when the content does not tell.
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// File of listed addresses and prefixes; in addition to the configured ones. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub blacklist: Vec<PathBuf>,
    /// Appends records that cannot be used to this file, with reason and place.
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
}

/// Form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// One ECS document a line.
    Ndjson,
    /// Lines for a person.
    Table,
}

/// One kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Facts: one per subject and window.
    Anomalies,
    /// Work: anomalies folded.
    Alerts,
    /// Numbers of the network, exporters and the busiest hosts.
    Windows,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Ends when the input ends instead of going on with the scheduled jobs.
    #[arg(long)]
    pub once: bool,
    /// What is done with the flows.
    #[arg(long, value_enum, default_value_t = Mode::Detect)]
    pub mode: Mode,
}

/// What is done with the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Window summaries are written, nothing is judged: to learn what is normal first.
    Collect,
    /// Window summaries, anomalies and alerts.
    #[default]
    Detect,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// First moment, for example 2026-11-20T00:00:00Z. Whole windows are judged: the one that holds
    /// it is the first.
    #[arg(long, value_name = "TIME")]
    pub from: Timestamp,
    /// First moment after it; must lie a little in the past.
    #[arg(long, value_name = "TIME")]
    pub to: Timestamp,
    /// Begins with what the worker of this group (`input.kafka.group_id`) has learned by its last
    /// snapshot, and where that lies in the stretch of time, goes on from there. Without it nothing
    /// is known at the beginning, and detectors that learn warm up first.
    #[arg(long, value_name = "GROUP")]
    pub learned_by: Option<String>,
    /// Says what would be found, and stores nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct EvaluateArgs {
    /// What to evaluate instead of a model.
    #[command(subcommand)]
    pub what: Option<EvaluateWhat>,
    /// A model file, `store:ALIAS`, or `kdd` for the model of connection records that is built in.
    #[arg(long, value_name = "MODEL", required = true)]
    pub model: Option<ModelName>,
    /// Labelled rows for the model: CSV with or without a header, plain, gzip or zstd; `-` is standard
    /// input. Repeatable.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What can be evaluated.
#[derive(Debug, Subcommand)]
pub enum EvaluateWhat {
    /// Score files with a known truth: recall, precision, alerts outside of attacks, latency.
    Detection(EvaluateDetectionArgs),
    /// Score simulated traffic with hidden attacks of every kind.
    Simulated(EvaluateSimulatedArgs),
    /// Train models on published data sets and judge them on the rows set aside for that.
    Published {
        /// Folder with nsl-kdd, kdd-split-003, unsw-nb15 and cic-ids2017-sample; what is not there is
        /// left out.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Prints JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `evaluate detection`.
#[derive(Debug, Args)]
pub struct EvaluateDetectionArgs {
    /// Files with flow records, as `score` reads them, or folders of such. Each file is a run of its
    /// own; with the truth of a simulation all are one.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR|FILE")]
    pub data: Vec<PathBuf>,
    /// `column` for labels beside the flows (Zeek, Argus), else a file: the episodes of `simulate
    /// --truth`, or YAML that says what is expected in which capture.
    #[arg(long, value_name = "FILE|column")]
    pub truth: PathBuf,
    /// File of listed addresses and prefixes; in addition to the configured ones. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub blacklist: Vec<PathBuf>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `evaluate simulated`.
#[derive(Debug, Args)]
pub struct EvaluateSimulatedArgs {
    /// How many hours of traffic.
    #[arg(long, value_name = "H", default_value_t = 168.0)]
    pub hours: f64,
    /// Chooses the traffic and the attacks.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Ordinary records an hour on working days.
    #[arg(long, value_name = "N", default_value_t = 66_667.0)]
    pub flows_per_hour: f64,
    /// Episodes of each kind a day.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub episodes: u32,
    /// Kinds of attack, comma-separated; `all`.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub attacks: String,
    /// Prints JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Files with flow records; the flows that are indexed in the store when absent.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Counts alerts that begin here or later; needed for the store. Earlier flows of files are
    /// learned from.
    #[arg(long, value_name = "TIME", required_unless_present = "files")]
    pub from: Option<Timestamp>,
    /// Counts alerts that begin before this; needed for the store.
    #[arg(long, value_name = "TIME", required_unless_present = "files")]
    pub to: Option<Timestamp>,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Judges the whole hour before this time instead of now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The day (YYYY-MM-DD) in the time zone of the report; yesterday when absent.
    #[arg(long, value_name = "DATE")]
    pub date: Option<chrono::NaiveDate>,
    /// Folder for report.eml, report.html and report.json.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many records.
    #[arg(long, value_name = "N", required_unless_present = "hours", conflicts_with = "hours")]
    pub flows: Option<u64>,
    /// How many hours of traffic.
    #[arg(long, value_name = "H")]
    pub hours: Option<f64>,
    /// Chooses everything; the same seed gives the same bytes.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// First moment.
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// Kinds of attack, comma-separated; `all` or `none`.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub attacks: String,
    /// Format of the records.
    #[arg(long, value_enum, default_value_t = SimulatedFormat::Goflow2)]
    pub format: SimulatedFormat,
    /// Writes what is hidden in the traffic to this file.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Writes the listed addresses, which the blacklist episodes use, to this file.
    #[arg(long, value_name = "FILE")]
    pub blacklist: Option<PathBuf>,
    /// Where to; standard output when absent.
    #[arg(long, value_enum)]
    pub to: Option<Target>,
    /// How messages are sent.
    #[command(flatten)]
    pub produce: ProduceArgs,
}

/// Where records are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A topic of the brokers under `input.kafka`.
    Kafka,
}

/// How messages are sent.
#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// The topic; that of `input.kafka.topics` when absent.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Messages a second; as many as the brokers take when absent.
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Sends the flows of one source address to one partition.
    #[arg(long)]
    pub keyed: bool,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files with one record a line, plain, gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to.
    #[arg(long, value_enum)]
    pub to: Target,
    /// Begins again at the end, until interrupted.
    #[arg(long = "loop")]
    pub repeat: bool,
    /// How messages are sent.
    #[command(flatten)]
    pub produce: ProduceArgs,
}

/// Arguments of `deadletter`.
#[derive(Debug, Args)]
pub struct DeadLetterArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub what: DeadLetterWhat,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetterWhat {
    /// List letters, the newest first.
    List(ListLettersArgs),
    /// Send the messages of rejected records again, and write refused documents again.
    ///
    /// Messages go to the topic that they came from, documents into the store. The letters stay where
    /// they are: what is replayed again is sent again; a document that is there by now is not doubled.
    Replay(ReplayLettersArgs),
}

/// Arguments of `deadletter list`.
#[derive(Debug, Args)]
pub struct ListLettersArgs {
    /// Only letters of this time or later.
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Only letters before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Only letters with this reason, for example `unknown_format`; `refused` for documents.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Most letters to list.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Prints letters whole, one JSON object a line, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `deadletter replay`.
#[derive(Debug, Args)]
pub struct ReplayLettersArgs {
    /// Only letters with this reason, for example `unknown_format`; `refused` for documents.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only letters with these ids; repeatable.
    #[arg(long = "id", value_name = "ID", num_args = 1..)]
    pub ids: Vec<String>,
    /// Where to: the topics of the brokers under `input.kafka` and the store, or standard output, one
    /// message or document a line.
    #[arg(long, value_enum, default_value_t = ReplayTarget::Kafka)]
    pub to: ReplayTarget,
    /// Sends all messages to this topic instead of those that they came from.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Sends messages too of which other records were used; those are counted twice then.
    #[arg(long)]
    pub partly_used: bool,
}

/// Where letters are replayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayTarget {
    /// Messages to topics, documents into the store.
    Kafka,
    /// Standard output.
    Stdout,
}

/// A format that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SimulatedFormat {
    /// goflow2 v2 JSON, one object a line.
    Goflow2,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Chooses the traffic and the attacks.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Folder for the report and the store; what an earlier demo left there is replaced.
    #[arg(long, value_name = "DIR", default_value = "flowsentry-demo")]
    pub out: PathBuf,
    /// Prints the figures as JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `setup`. Without one that selects, everything is set up.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Sets up lifecycle policies, templates and indices.
    #[arg(long)]
    pub index_management: bool,
    /// Sets up ingest pipelines.
    #[arg(long)]
    pub pipelines: bool,
    /// Prints what would change, and changes nothing.
    #[arg(long, conflicts_with_all = ["check", "force"])]
    pub diff: bool,
    /// Verifies what is there without writing anything; exit code 1 when something is off.
    #[arg(long, conflicts_with = "force")]
    pub check: bool,
    /// Overwrites objects of our names that flowsentry did not make, or a newer one did.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// What to test.
    #[command(subcommand)]
    pub what: TestWhat,
}

/// What can be tested.
#[derive(Debug, Subcommand)]
pub enum TestWhat {
    /// Check the settings without doing anything.
    Config,
    /// Check that the store can be reached and is ready, step by step; exit code 1 when it is not.
    Output,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What to print.
    #[command(subcommand)]
    pub what: ExportWhat,
}

/// What can be printed.
#[derive(Debug, Subcommand)]
pub enum ExportWhat {
    /// The reference settings: every key with its default, explained.
    Config,
    /// Index templates with the component templates that they are made of.
    Template(ExportAssetArgs),
    /// Lifecycle policies: ILM for Elasticsearch, ISM for OpenSearch.
    Policy(ExportAssetArgs),
    /// Ingest pipelines.
    Pipeline(ExportAssetArgs),
}

/// Arguments of `export template`, `export policy` and `export pipeline`.
#[derive(Debug, Args)]
pub struct ExportAssetArgs {
    /// Prints only this one, for example `flowsentry-flows`; all when absent.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// For which product.
    #[arg(long, value_enum, default_value_t = ExportFlavour::Elasticsearch)]
    pub flavour: ExportFlavour,
    /// For which version; 8.19.0 of Elasticsearch and 2.19.0 of OpenSearch when absent.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<ServerVersion>,
    /// Writes one file per object into this folder instead of printing them.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A product with the search interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFlavour {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    Opensearch,
}

impl ExportFlavour {
    /// The product.
    pub const fn flavour(self) -> Flavour {
        match self {
            Self::Elasticsearch => Flavour::Elasticsearch,
            Self::Opensearch => Flavour::OpenSearch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn secrets_are_refused_on_the_command_line() {
        let error =
            Cli::try_parse_from(["flowsentry", "-E", "smtp.password=x", "run"]).unwrap_err();
        assert!(error.to_string().contains("secrets come from the environment or from files only"));
    }
}
