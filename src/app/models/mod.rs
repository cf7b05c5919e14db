//! Tables and learned models from the command line: explore, train, predict, evaluate, compare,
//! split, show.

mod compare;
mod explore;
mod figures;
mod learned;
mod predict;
mod published;
mod show;
mod split;
mod stored;

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::classify::ModelName;
use crate::cli::{ModelsWhat, RowsArgs, TrainArgs};
use crate::config::Config;
use crate::learn::metrics;
use crate::learn::normal::label_by_clusters;
use crate::learn::params::Params;
use crate::learn::table::{Rejected, Table};
use crate::learn::train::train as learn;
use crate::models::Model;
use crate::models::schema::Schema;
use crate::sinks::printable;
use crate::sources::open_plain;

use super::Outcome;
use super::common::{grouped, print_line};

pub(super) use compare::compare;
pub(super) use explore::explore;
pub(super) use learned::{LearnedWatch, learned_model};
pub(super) use predict::predict;
pub(super) use published::published;
pub(super) use split::split;
pub(super) use stored::{Asked, Opened, key, lines, open_model, promote_opened, registry_on};

/// The seed when nobody names one.
const SEED: u64 = 42;

/// Learns a model and writes it.
pub(super) fn train(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let model = learn_anew(&Lesson {
        rows: &args.rows,
        normal: &args.normal,
        distinct: args.distinct,
        params: args.params.as_deref(),
        seed: args.seed,
        commit: &args.commit,
    })?;
    write(&args.out, &model.to_bytes()?)?;
    print_line(&show::text(&model))?;
    Ok(Outcome::Done)
}

/// What a model is learned of.
pub(super) struct Lesson<'a> {
    pub(super) rows: &'a RowsArgs,
    /// Files of normal rows, when the others have no labels.
    pub(super) normal: &'a [PathBuf],
    /// Whether repeats are left out.
    pub(super) distinct: bool,
    pub(super) params: Option<&'a Path>,
    pub(super) seed: Option<u64>,
    pub(super) commit: &'a str,
}

/// Learns a model of files.
pub(super) fn learn_anew(lesson: &Lesson<'_>) -> anyhow::Result<Model> {
    let &Lesson { rows, normal, distinct, params, seed, commit } = lesson;
    let (params, seed_of_params) = read_params(params)?;
    let seed = seed.or(seed_of_params).unwrap_or(SEED);
    let mut table = match normal {
        [] => read_table(rows)?,
        files => label_anew(rows, files, &params, seed)?,
    };
    if distinct {
        let rejected = table.rejected().clone();
        table = table.choose(&table.distinct()).with_rejected(rejected);
    }
    Ok(learn(&table, &params, seed, commit)?)
}

/// Labels rows by the clusters of normal ones, and tells by which.
fn label_anew(
    rows: &RowsArgs,
    normal: &[PathBuf],
    params: &Params,
    seed: u64,
) -> anyhow::Result<Table> {
    let schema = read_schema(&rows.schema)?;
    let read = |files: &[PathBuf]| -> anyhow::Result<Table> {
        let mut table = Table::read_unlabelled(&schema, std::io::empty())?;
        for path in files {
            let place = || format!("reading `{}`", path.display());
            table.extend(open(path)?).with_context(place)?;
        }
        Ok(table)
    };
    let (table, clusters) = label_by_clusters(&read(normal)?, &read(&rows.data)?, params, seed)?;
    let all = clusters.rows.len();
    let names: Vec<_> = clusters.normal.iter().map(usize::to_string).collect();
    let attacks = (0..table.len()).filter(|row| table.is_attack(*row)).count();
    eprintln!(
        "{} of {all} clusters are normal ({}); {} rows of the others count as attacks",
        names.len(),
        names.join(", "),
        grouped(attacks as u64)
    );
    Ok(table)
}

/// Judges a model on labelled rows.
pub(super) fn evaluate(
    config: &Config,
    model: &ModelName,
    data: &[PathBuf],
    is_json: bool,
) -> anyhow::Result<Outcome> {
    let model = open_model(config, model)?.model;
    let table = read_labelled(model.schema(), data)?;
    let metrics = metrics::evaluate(&model, &table);
    match is_json {
        true => print_line(&serde_json::to_string(&metrics)?)?,
        false => print_line(&figures::text(&metrics))?,
    }
    Ok(Outcome::Done)
}

/// Shows what models hold, and puts them to use.
pub(super) fn models(config: &Config, what: &ModelsWhat) -> anyhow::Result<Outcome> {
    let read = |name| anyhow::Ok(open_model(config, name)?.model);
    match what {
        ModelsWhat::List { folder: Some(folder) } => print_line(&show::list(folder)?)?,
        ModelsWhat::List { folder: None } => print_line(&stored::list(config)?)?,
        ModelsWhat::Show { model, json: true } => {
            print_line(&serde_json::to_string_pretty(read(model)?.facts())?)?;
        }
        ModelsWhat::Show { model, json: false } => print_line(&show::text(&read(model)?))?,
        ModelsWhat::Diff { old, new } => {
            print_line(&show::difference(&read(old)?, &read(new)?))?;
        }
        ModelsWhat::Promote(args) => return stored::promote(config, args),
        ModelsWhat::Rollback { alias, to } => return stored::rollback(config, alias, *to),
    }
    Ok(Outcome::Done)
}

/// Reads a model file.
fn read_file(path: &Path) -> anyhow::Result<Model> {
    let bytes =
        fs::read(path).with_context(|| format!("reading the model `{}`", path.display()))?;
    Model::from_bytes(&bytes).with_context(|| format!("the model `{}`", path.display()))
}

/// Returns a built-in schema or that of a file.
fn read_schema(name: &str) -> anyhow::Result<Schema> {
    if Schema::BUILT_IN.contains(&name) || !Path::new(name).exists() {
        return Ok(Schema::built_in(name)?);
    }
    let text = fs::read_to_string(name).with_context(|| format!("reading the schema `{name}`"))?;
    let place = || format!("the schema `{name}`");
    // JSON is YAML, but YAML has another form for a kind with settings: a tag (`!number {}`). As a
    // value it cannot be read; everything else can.
    let schema: Schema = match serde_yaml_ng::from_str::<serde_json::Value>(&text) {
        Ok(value) => serde_json::from_value(value).with_context(place)?,
        Err(_) => serde_yaml_ng::from_str(&text).with_context(place)?,
    };
    schema.check()?;
    Ok(schema)
}

fn read_params(path: Option<&Path>) -> anyhow::Result<(Params, Option<u64>)> {
    let Some(path) = path else { return Ok((Params::default(), None)) };
    let place = || format!("the parameters `{}`", path.display());
    let text = fs::read_to_string(path).with_context(place)?;
    let value: serde_json::Value = serde_yaml_ng::from_str(&text).with_context(place)?;
    Params::from_value(value).with_context(place)
}

fn read_table(args: &RowsArgs) -> anyhow::Result<Table> {
    read_labelled(&read_schema(&args.schema)?, &args.data)
}

/// Reads the labelled rows of files; those that cannot be used are told and left out.
fn read_labelled(schema: &Schema, data: &[PathBuf]) -> anyhow::Result<Table> {
    let mut table = Table::empty(schema);
    for path in data {
        let place = || format!("reading `{}`", path.display());
        table.extend(open(path)?).with_context(place)?;
    }
    tell_rejected(table.rejected());
    ensure!(!table.is_empty(), "there is no row with a known label");
    Ok(table)
}

/// Says which rows were left out, and why.
fn tell_rejected(rejected: &Rejected) {
    for sample in &rejected.samples {
        eprintln!("left out: {}", printable(&sample.to_string()));
    }
    if rejected.count > rejected.samples.len() as u64 {
        eprintln!("left out: {} rows in all", rejected.count);
    }
}

/// Opens a file, plain or compressed.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    open_plain(path).with_context(|| format!("opening `{}`", path.display()))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_by(path, |file| Ok(file.write_all(bytes)?))
}

/// Writes a file piece by piece, whole or not at all.
fn write_by(
    path: &Path,
    fill: impl FnOnce(&mut fs::File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) => Path::new("."),
        None => bail!("`{}` is no name of a file", path.display()),
    };
    let written = || -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        // Like any other file: who may read it is up to the umask.
        let mut builder = tempfile::Builder::new();
        let mut file =
            builder.permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
        fill(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().with_context(|| format!("writing `{}`", path.display()))
}
