//! Synthetic rows for rare classes: SMOTE (Chawla, Bowyer, Hall & Kegelmeyer 2002).
//!
//! A synthetic row lies between a row of the class and one of its five nearest neighbours in it;
//! its words are those of the row. Only rows that teach are used, and none is ever held out.

use crate::models::parts::neighbours::distance;

use super::params::{Params, ParamsError};
use super::prepare::{TableEncoder, encoder};
use super::random::Random;
use super::table::Table;
use super::train::Parted;

/// Neighbours to choose from, as in the paper.
const NEIGHBOURS: usize = 5;
/// Neighbours are looked for among so many rows of the class at most.
const MOST_CANDIDATES: usize = 2000;

/// Adds the synthetic rows that the parameters ask for. Returns no table when they ask for none.
pub(crate) fn extend(
    table: &Table,
    mut parted: Parted,
    params: &Params,
    seed: u64,
) -> Result<(Option<Table>, Parted), ParamsError> {
    let wanted = wanted(table, params)?;
    if wanted.iter().all(|wanted| *wanted == 0) {
        return Ok((None, parted));
    }
    let encoder = encoder(table, &parted.teaching, &parted.teaching_normals, params.bins);
    let encoder = TableEncoder::new(table, &encoder);
    let mut extended = table.clone();
    for (class, wanted) in wanted.into_iter().enumerate() {
        // Synthetic rows of the classes before lie beyond the end of `table`.
        let is_own = |row: &usize| extended.class(*row) == class;
        let mut own: Vec<usize> = parted.teaching.iter().copied().filter(is_own).collect();
        let missing = if own.is_empty() { 0 } else { wanted.saturating_sub(own.len()) };
        let mut random = Random::new(seed, (1 << 40) + class as u64);
        random.choose(&mut own, MOST_CANDIDATES);
        own.truncate(MOST_CANDIDATES);
        let near = if missing > 0 { neighbours(&encoder, &own) } else { Vec::new() };
        for n in 0..missing {
            let base = n % own.len();
            // A class of one row has no neighbours: its row is repeated.
            let other = near[base].get(random.below(near[base].len())).copied().unwrap_or(base);
            let row = between(table, own[base], own[other], random.unit());
            extended.cells.extend(row);
            extended.classes.push(class as u16);
            extended.labels.push(table.labels[own[base]]);
            extended.numbers.push(table.numbers[own[base]]);
            let place = extended.classes.len() - 1;
            parted.teaching.push(place);
            if class != table.schema.normal_code() {
                parted.attacks.push(place);
            } else {
                parted.teaching_normals.push(place);
            }
        }
    }
    Ok((Some(extended), parted))
}

/// For each class the rows wanted; 0 leaves it alone.
fn wanted(table: &Table, params: &Params) -> Result<Vec<usize>, ParamsError> {
    let schema = &table.schema;
    let mut wanted = vec![params.smote_attacks.unwrap_or(0); schema.classes.len()];
    wanted[schema.normal_code()] = 0;
    for (class, rows) in &params.smote {
        let place = schema.classes.iter().position(|known| known == class);
        let unknown = || ParamsError::Unknown {
            key: "smote",
            name: class.clone(),
            what: "a class of the schema",
        };
        wanted[place.ok_or_else(unknown)?] = *rows;
    }
    Ok(wanted)
}

/// The nearest of the others, for each row; as places in `own`.
fn neighbours(encoder: &TableEncoder, own: &[usize]) -> Vec<Vec<usize>> {
    let data = encoder.prepare(own);
    let places: Vec<usize> = (0..own.len()).collect();
    super::parallel::map(&places, |&row| {
        let others = places.iter().filter(|other| **other != row);
        let mut all: Vec<(f32, usize)> =
            others.map(|other| (distance(data.wide(row), data.wide(*other)), *other)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(NEIGHBOURS).map(|(_, other)| other).collect()
    })
}

fn between(table: &Table, base: usize, other: usize, part: f64) -> Vec<f64> {
    let cells = table.row(base).iter().zip(table.row(other)).enumerate();
    let one = |(column, (base, other)): (usize, (&f64, &f64))| {
        // Words have no between, and what is missing has none either.
        let is_number = table.words[column].is_empty() && other.is_finite();
        if is_number { base + (other - base) * part } else { *base }
    };
    cells.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::schema::Schema;

    fn table() -> Table {
        let mut text = String::new();
        for n in 0..100 {
            text += &format!("{n},1,1,1,1,1,1,1,normal\n");
        }
        for n in 0..4 {
            text += &format!("{},9,9,9,9,9,9,9,attack\n", 1000 + n);
        }
        Table::read(&Schema::built_in("flow").unwrap(), text.as_bytes()).unwrap()
    }

    fn parted() -> Parted {
        Parted {
            original: 104,
            checksum: String::new(),
            teaching: (0..104).collect(),
            teaching_normals: (0..100).collect(),
            held_normals: vec![],
            held_attacks: vec![],
            attacks: (100..104).collect(),
        }
    }

    #[test]
    fn synthetic_rows_lie_between_rows_of_their_class() {
        let params = Params { smote: [("attack".to_owned(), 20)].into(), ..Params::default() };
        let (table, parted) = extend(&table(), parted(), &params, 1).unwrap();
        let table = table.unwrap();
        assert_eq!((table.class_counts(), parted.attacks.len()), (vec![100, 20], 20));
        assert!((104..120).all(|row| (1000.0..=1003.0).contains(&table.row(row)[0])));
    }

    #[test]
    fn every_class_of_attacks_is_filled_up_and_every_row_has_a_number() {
        let schema = Schema::built_in("kdd").unwrap();
        let row = |n: usize, label: &str| {
            format!("{n},tcp,http,SF{},{label}\n", ",1".repeat(schema.columns.len() - 4))
        };
        let mut text = String::new();
        for (label, rows) in [("normal", 40), ("neptune", 6), ("portsweep", 5), ("perl", 1)] {
            (0..rows).for_each(|n| text += &row(n, label));
        }
        let table = Table::read(&schema, text.as_bytes()).unwrap();
        let parted = Parted {
            original: 52,
            teaching: (0..52).collect(),
            teaching_normals: (0..40).collect(),
            attacks: (40..52).collect(),
            ..parted()
        };
        let params = Params { smote_attacks: Some(20), ..Params::default() };
        let extended = extend(&table, parted, &params, 1).unwrap().0.unwrap();
        assert_eq!(extended.class_counts(), [40, 20, 20, 0, 20]);
        assert_eq!(extended.choose(&[99]).len(), 1);
    }

    #[test]
    fn a_class_of_one_row_is_repeated_and_an_unknown_class_named() {
        let mut params = Params { smote: [("attack".to_owned(), 3)].into(), ..Params::default() };
        let alone = Parted { teaching: (0..101).collect(), ..parted() };
        let (table_of_one, _) = extend(&table(), alone, &params, 1).unwrap();
        assert_eq!(table_of_one.unwrap().row(105)[0], 1000.0);
        params.smote = [("dos".to_owned(), 3)].into();
        let error = extend(&table(), parted(), &params, 1).unwrap_err().to_string();
        assert_eq!(error, "setting `smote` names `dos`, which is not a class of the schema");
    }
}
