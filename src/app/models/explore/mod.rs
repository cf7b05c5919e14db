//! `explore`: what a table holds, before anything is learned from it.

mod input;
mod rows;

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::cli::{ExploreArgs, ExploreSkip};
use crate::learn::explore::{Exploration, ExploreParams, Grouping};
use crate::learn::table::Table;
use crate::models::schema::Schema;
use crate::reports::{Origin, exploration_page, exploration_text};

use super::super::Outcome;
use super::super::common::{make_folder, print_line};
use super::{read_schema, tell_rejected, write};
use input::Input;

/// The files of rows with their clusters.
const ROWS: [(Grouping, &str); 2] =
    [(Grouping::Kmeans, "rows-kmeans.csv"), (Grouping::Dbscan, "rows-dbscan.csv")];

/// Describes rows: prints a summary, writes files.
pub(in super::super) fn explore(args: &ExploreArgs) -> anyhow::Result<Outcome> {
    let schema = read_schema(&args.rows.schema)?;
    let params = params(args)?;
    let with_rows = args.out.is_some() && !args.skip.contains(&ExploreSkip::Rows);
    // Rows are read again to be written.
    let inputs = Input::all(&args.rows.data, with_rows)?;
    if with_rows {
        rows::check_headers(&schema, &inputs)?;
    }
    let (found, origin) = found(args, &schema, &params, &inputs)?;
    if let Some(folder) = &args.out {
        make_folder(folder)?;
        let json = serde_json::to_string_pretty(&found)? + "\n";
        write(&folder.join("explore.json"), json.as_bytes())?;
        write(&folder.join("explore.html"), exploration_page(&found, &origin)?.as_bytes())?;
        for (grouping, name) in ROWS.iter().filter(|_| with_rows) {
            rows::write(&schema, &inputs, &found, *grouping, &folder.join(name))?;
        }
    }
    match args.json {
        true => print_line(&serde_json::to_string(&found)?)?,
        false => print_line(&exploration_text(&found, &origin))?,
    }
    Ok(Outcome::Done)
}

/// Reads and explores; the table is gone when this returns.
fn found(
    args: &ExploreArgs,
    schema: &Schema,
    params: &ExploreParams,
    inputs: &[Input<'_>],
) -> anyhow::Result<(Exploration, Origin)> {
    let mut table = if args.unlabelled {
        Table::read_unlabelled(schema, &b""[..])?
    } else {
        Table::empty(schema)
    };
    for input in inputs {
        let place = || format!("reading `{}`", input.path.display());
        table.extend(input.open()?).with_context(place)?;
    }
    // The summary names them itself.
    if args.json {
        tell_rejected(table.rejected());
    }
    let reason = if args.unlabelled { "that can be used" } else { "with a known label" };
    ensure!(!table.is_empty(), "there is no row {reason}");
    let found = Exploration::of(&table, params, args.seed);
    let rejected = table.rejected().samples.iter().map(ToString::to_string).collect();
    let name = |input: &Input<'_>| file_name(input.path);
    Ok((found, Origin { files: inputs.iter().map(name).collect(), rejected }))
}

fn file_name(path: &Path) -> String {
    match path.file_name() {
        Some(name) if path != Path::new("-") => name.to_string_lossy().into_owned(),
        _ => "standard input".to_owned(),
    }
}

/// The settings of the file, without what is left out.
fn params(args: &ExploreArgs) -> anyhow::Result<ExploreParams> {
    let mut params = match &args.params {
        Some(path) => read_params(path)?,
        None => ExploreParams::default(),
    };
    params.kmeans.enabled &= !args.skip.contains(&ExploreSkip::Kmeans);
    params.dbscan.enabled &= !args.skip.contains(&ExploreSkip::Dbscan);
    Ok(params)
}

fn read_params(path: &Path) -> anyhow::Result<ExploreParams> {
    let place = || format!("the parameters `{}`", path.display());
    let text = fs::read_to_string(path).with_context(place)?;
    // JSON is YAML.
    let params: ExploreParams = serde_yaml_ng::from_str(&text).with_context(place)?;
    params.check().with_context(place)?;
    Ok(params)
}
