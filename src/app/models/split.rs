//! `split`: labelled rows parted into files.

use std::fs;
use std::io::Read;

use anyhow::{Context, ensure};

use crate::cli::{SplitArgs, SplitBy};
use crate::learn::split::{Shares, Split, by_time, by_vector, stratified};
use crate::learn::table::Table;
use crate::models::record::header;
use crate::models::schema::Schema;

use super::super::Outcome;
use super::super::common::print_line;
use super::{open, read_schema};

const NAMES: [&str; 3] = ["train", "validation", "test"];

/// Parts rows and writes them as they came, below the header of the first file if that has one.
/// Rows without a known label are left out.
pub(in super::super) fn split(args: &SplitArgs) -> anyhow::Result<Outcome> {
    let schema = read_schema(&args.rows.schema)?;
    let shares = shares(&args.shares)?;
    let mut files = Vec::new();
    let mut table = Table::empty(&schema);
    for path in &args.rows.data {
        let place = || format!("reading `{}`", path.display());
        let mut bytes = Vec::new();
        open(path)?.read_to_end(&mut bytes).with_context(place)?;
        table.extend(bytes.as_slice()).with_context(place)?;
        files.push(bytes);
    }
    ensure!(!table.is_empty(), "there is no row with a known label");
    let split = part(&table, args.by, shares, args.seed);
    let side_of = sides(&table, &split);
    let mut writers = Vec::new();
    fs::create_dir_all(&args.out)
        .with_context(|| format!("making the folder `{}`", args.out.display()))?;
    for name in NAMES {
        let path = args.out.join(format!("{name}.csv"));
        let writer = csv::WriterBuilder::new().flexible(true).from_path(&path);
        writers.push(writer.with_context(|| format!("writing `{}`", path.display()))?);
    }
    distribute(&schema, &files, &side_of, &mut writers)?;
    let counts = [&split.train, &split.validation, &split.test].map(Vec::len);
    let counts: Vec<_> = NAMES.iter().zip(counts).map(|(name, n)| format!("{name} {n}")).collect();
    print_line(&format!("{}, left out {}", counts.join(", "), table.rejected().count))?;
    Ok(Outcome::Done)
}

/// Parts a table; also for `compare`.
pub(super) fn part(table: &Table, by: SplitBy, shares: Shares, seed: u64) -> Split {
    match by {
        SplitBy::Vector => by_vector(table, shares, seed),
        SplitBy::Label => stratified(table, shares, seed),
        SplitBy::Order => {
            let order: Vec<f64> = (0..table.len()).map(|row| row as f64).collect();
            by_time(table, &order, shares)
        }
    }
}

/// Reads `80/10/10`.
fn shares(text: &str) -> anyhow::Result<Shares> {
    let parts: Vec<f64> = text.split('/').filter_map(|part| part.trim().parse().ok()).collect();
    let [train, validation, test] = parts[..] else {
        anyhow::bail!("--shares must be three numbers like 80/10/10, got `{text}`");
    };
    let sum = train + validation + test;
    let are_sound = parts.iter().all(|part| (0.0..=100.0).contains(part))
        && (sum - 100.0).abs() < 1e-6
        && train > 0.0;
    ensure!(are_sound, "--shares must add up to 100 with some for training, got `{text}`");
    Ok(Shares { validation: validation / 100.0, test: test / 100.0 })
}

/// For every row of the input its place in [`NAMES`].
fn sides(table: &Table, split: &Split) -> Vec<Option<usize>> {
    let mut sides = Vec::new();
    for (side, rows) in [&split.train, &split.validation, &split.test].into_iter().enumerate() {
        for &row in rows {
            let number = table.number(row) as usize;
            if number >= sides.len() {
                sides.resize(number + 1, None);
            }
            sides[number] = Some(side);
        }
    }
    sides
}

fn distribute<W: std::io::Write>(
    schema: &Schema,
    files: &[Vec<u8>],
    side_of: &[Option<usize>],
    writers: &mut [csv::Writer<W>],
) -> anyhow::Result<()> {
    let mut number = 0;
    for (place, bytes) in files.iter().enumerate() {
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.has_headers(false).flexible(true).from_reader(bytes.as_slice());
        let mut cells = csv::ByteRecord::new();
        let mut is_first = true;
        while reader.read_byte_record(&mut cells)? {
            if std::mem::take(&mut is_first) && header(schema, &cells).is_some() {
                if place == 0 {
                    writers.iter_mut().try_for_each(|writer| writer.write_byte_record(&cells))?;
                }
                continue;
            }
            if let Some(Some(side)) = side_of.get(number) {
                writers[*side].write_byte_record(&cells)?;
            }
            number += 1;
        }
    }
    writers.iter_mut().try_for_each(csv::Writer::flush)?;
    Ok(())
}
