//! What can be asked for about learned models.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::classify::ModelName;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// What the rows are.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Rows that are known to be normal, of the same schema of two classes. The labels of the data are
    /// not read then: K-means groups all rows, and those of clusters without normal rows count as
    /// attacks. Repeatable.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub normal: Vec<PathBuf>,
    /// Leaves out rows that repeat features and label of an earlier one.
    #[arg(long)]
    pub distinct: bool,
    /// Parameters in JSON or YAML; keys that it lacks have their defaults. The file of a CatBoost
    /// training (`nr_iterations`, `tree_depth` …) is understood as well.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Where the model is written.
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// Chooses everything that is left to chance; the same rows, parameters and seed give the same
    /// bytes. That of the parameter file, or 42, when absent.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Noted in the model: which version of rows or program it was made from.
    #[arg(long, value_name = "TEXT", default_value = concat!("flowsentry ", env!("CARGO_PKG_VERSION")))]
    pub commit: String,
}

/// Labelled rows.
#[derive(Debug, Args)]
pub struct RowsArgs {
    /// What the columns mean: kdd, cicflow, flow, unsw, cic2017, or a schema file in YAML or JSON.
    #[arg(long, value_name = "NAME|FILE")]
    pub schema: String,
    /// CSV with or without a header, plain, gzip or zstd; `-` is standard input. Repeatable.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
}

/// A model and rows for it.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A model file, `store:ALIAS`, or `kdd` for the model of connection records that is built in.
    #[arg(long, value_name = "MODEL")]
    pub model: ModelName,
    /// CSV with or without a header, plain, gzip or zstd; `-` is standard input. Labels are never
    /// read. Repeatable.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Form of the answers.
    #[arg(long, value_enum, default_value_t = PredictForm::Csv)]
    pub output: PredictForm,
}

/// Form of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PredictForm {
    /// Header `row,class,probability,verdict`, one line a row.
    Csv,
    /// One JSON object a row, with the probability of every class and what spoke for the verdict.
    Ndjson,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// What the rows are.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Rows to judge, of the same schema; a part of the data when absent. Repeatable.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub test: Vec<PathBuf>,
    /// How the data is parted when there are no test rows.
    #[arg(long, value_enum, default_value_t = SplitBy::Vector)]
    pub by: SplitBy,
    /// Algorithms, comma-separated; `all`.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub algorithms: String,
    /// Parameters in JSON or YAML, but for the algorithm.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Judges by cross-validation over so many folds instead: mean and standard deviation.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=100), conflicts_with = "test")]
    pub folds: Option<u16>,
    /// Chooses everything that is left to chance.
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub seed: u64,
    /// Folder for compare.json, compare.md and compare.png.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// What the rows are.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Does not look at labels, whether there are any or not: no classes, no tests.
    #[arg(long)]
    pub unlabelled: bool,
    /// Settings in JSON or YAML: words, fence, strong, alpha, logarithms, kmeans.{least, most, rows,
    /// silhouette_rows}, dbscan.{columns, radius, min_points, rows, wide_rows}. What it lacks has its
    /// default.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// Leaves something out; comma-separated.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub skip: Vec<ExploreSkip>,
    /// Chooses the rows that groups are looked for in.
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub seed: u64,
    /// Folder for explore.json, explore.html and the rows with their clusters: rows-kmeans.csv,
    /// rows-dbscan.csv.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Prints JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What an exploration can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExploreSkip {
    /// The groups of K-means.
    Kmeans,
    /// The groups of DBSCAN.
    Dbscan,
    /// The files of rows with their clusters.
    Rows,
}

/// How rows are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitBy {
    /// By a hash of the features: equal rows are never on both sides.
    Vector,
    /// At random within each label. Like rows are on both sides: it flatters.
    Label,
    /// In the order of the file: the last rows are judged.
    Order,
}

/// Arguments of `split`.
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// What the rows are.
    #[command(flatten)]
    pub rows: RowsArgs,
    /// How rows are parted.
    #[arg(long, value_enum, default_value_t = SplitBy::Vector)]
    pub by: SplitBy,
    /// Shares of training, validation and test in per cent.
    #[arg(long, value_name = "A/B/C", default_value = "80/10/10")]
    pub shares: String,
    /// Chooses everything that is left to chance.
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub seed: u64,
    /// Folder for train.csv, validation.csv and test.csv.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: ModelsWhat,
}

/// What can be done with model files.
#[derive(Debug, Subcommand)]
pub enum ModelsWhat {
    /// List the models of a folder, or those in the store with their history.
    List {
        /// The folder; the store is looked at when absent.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Show what a model says about itself: rows, seed, parameters, threshold, figures.
    Show {
        /// A model file, `store:ALIAS`, or `kdd`.
        #[arg(value_name = "MODEL")]
        model: ModelName,
        /// Prints JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show in what two models differ.
    Diff {
        /// The model that is compared with: a file, `store:ALIAS`, or `kdd`.
        #[arg(value_name = "OLD")]
        old: ModelName,
        /// The model that is compared.
        #[arg(value_name = "NEW")]
        new: ModelName,
    },
    /// Put a model into the store and let an alias stand for it. Workers that use the alias follow
    /// within `models.refresh_seconds`.
    Promote(PromoteArgs),
    /// Let an alias stand for the model again that it stood for before.
    Rollback {
        /// The alias.
        #[arg(value_name = "ALIAS")]
        alias: String,
        /// The revision to go back to; the last one of another model when absent.
        #[arg(long, value_name = "N")]
        to: Option<u64>,
    },
}

/// Arguments of `models promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// A model file, `store:ALIAS`, or `kdd`.
    #[arg(value_name = "MODEL")]
    pub model: ModelName,
    /// The alias; the name of the model's schema when absent.
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Labelled rows that models of the alias are evaluated on, from now on; they are kept in the
    /// store. Those that are there when absent.
    #[arg(long, value_name = "FILE")]
    pub evaluation: Option<PathBuf>,
    /// By how much a figure may be worse than that of the model in use; `models.worse_by` when absent.
    #[arg(long, value_name = "SHARE")]
    pub worse_by: Option<f64>,
    /// Promotes a model that the gate refuses, with the reasons noted.
    #[arg(long)]
    pub force: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub comment: String,
}

/// Arguments of `retrain`.
#[derive(Debug, Args)]
pub struct RetrainArgs {
    /// Aliases under `models.retrain`; all when absent.
    #[arg(value_name = "ALIAS")]
    pub aliases: Vec<String>,
}

/// Arguments of `classify`.
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// Files of records, one a line: CSV rows without or with a header, or JSON objects; plain, gzip
    /// or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A model file, `store:ALIAS`, or `kdd` for the model of connection records that is built in.
    #[arg(long, value_name = "MODEL")]
    pub model: ModelName,
    /// The name in documents; that of the model when absent.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Writes the documents into the configured store, not to standard output.
    #[arg(long)]
    pub store: bool,
    /// Appends records that cannot be used to this file, with reason and place.
    #[arg(long, value_name = "FILE")]
    pub dead_letters: Option<PathBuf>,
}
