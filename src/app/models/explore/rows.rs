//! The rows as they came, with the cluster of each behind them.

use std::io::{BufWriter, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use csv::ByteRecord;

use crate::learn::explore::{Exploration, Grouping};
use crate::models::record::header;
use crate::models::schema::Schema;

use super::super::write_by;
use super::input::Input;

/// The name of the column that is added.
const CLUSTER: &str = "cluster";
/// The cluster of noise, as scikit-learn writes it.
const NOISE: &str = "-1";

fn reader<R: Read>(source: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source)
}

/// Refuses files whose rows cannot stand in one table: those with other columns than the first.
pub(super) fn check_headers(schema: &Schema, inputs: &[Input<'_>]) -> anyhow::Result<()> {
    let mut first: Option<(&Path, Option<Vec<String>>)> = None;
    for input in inputs {
        let place = || format!("reading `{}`", input.path.display());
        let mut cells = ByteRecord::new();
        reader(input.open()?).read_byte_record(&mut cells).with_context(place)?;
        let names = header(schema, &cells);
        match &first {
            None => first = Some((input.path, names)),
            Some((_, known)) if *known == names => {}
            Some((path, _)) => bail!(
                "`{}` has another header than `{}`: their rows cannot be written to one file \
                 (`--skip rows` leaves it out)",
                input.path.display(),
                path.display()
            ),
        }
    }
    Ok(())
}

/// Writes the rows that were used, each with its cluster; nothing when the grouping was left out.
pub(super) fn write(
    schema: &Schema,
    inputs: &[Input<'_>],
    found: &Exploration,
    grouping: Grouping,
    path: &Path,
) -> anyhow::Result<()> {
    let mut clusters = found.labelled(grouping).peekable();
    if clusters.peek().is_none() {
        return Ok(());
    }
    write_by(path, |file| {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(file));
        let mut number = 0;
        for (place, input) in inputs.iter().enumerate() {
            let mut reader = reader(input.open()?);
            let mut cells = ByteRecord::new();
            let mut is_first = true;
            while reader.read_byte_record(&mut cells)? {
                if std::mem::take(&mut is_first) && header(schema, &cells).is_some() {
                    if place == 0 {
                        cells.push_field(CLUSTER.as_bytes());
                        writer.write_byte_record(&cells)?;
                    }
                    continue;
                }
                if let Some((_, cluster)) = clusters.next_if(|(used, _)| *used == number) {
                    let cluster = cluster.map_or_else(|| NOISE.to_owned(), |it| it.to_string());
                    cells.push_field(cluster.as_bytes());
                    writer.write_byte_record(&cells)?;
                }
                number += 1;
            }
        }
        ensure!(clusters.next().is_none(), "the files changed while they were read");
        writer.flush()?;
        Ok(())
    })
}
