//! What a table holds, before anything is learned from it.
//!
//! [`Exploration::of`] describes every column (`columns`), correlates the numbers and finds their
//! principal components (`relations`), tests whether normal and attack rows differ
//! (`hypotheses`), and looks for groups (`groups`, `dbscan` on the tree of `near`). Pure and
//! seeded. A table without labels ([`Table::read_unlabelled`]) has no classes and no tests.

mod columns;
mod dbscan;
mod groups;
mod hypotheses;
mod near;
mod params;
mod relations;
mod scale;
#[cfg(test)]
mod testing;

use serde::{Deserialize, Serialize};

use super::table::Table;

pub use columns::{BoxPlot, ClassBox, ColumnFacts, Content, Fences, WordCount};
pub use groups::{Cluster, DbscanFacts, KMeansFacts, Swept};
pub use hypotheses::{Hypotheses, NumberTest, TTest, WordTest};
pub use params::{Density, ExploreParams, Sweep};
pub use relations::{Component, Components, Correlations, Loading, Pair};

use groups::Assigned;
use scale::Scales;

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exploration {
    /// The schema it was read by.
    pub schema: String,
    /// Rows that were used.
    pub rows: u64,
    /// Rows that were left out as bad.
    pub rejected: u64,
    /// SHA-256, in hexadecimal, of the rows that were used, in their order.
    pub checksum: String,
    /// Whether labels were read.
    pub has_labels: bool,
    /// The seed by which rows were drawn.
    pub seed: u64,
    /// The settings.
    pub params: ExploreParams,
    /// Rows of other classes than the normal one; `None` without labels.
    pub attacks: Option<u64>,
    /// Rows of each class, in the order of the schema; empty without labels.
    pub classes: Vec<Count>,
    /// Rows of each label, the most frequent first; empty without labels.
    pub labels: Vec<Count>,
    /// Each column, in the order of the schema.
    pub columns: Vec<ColumnFacts>,
    /// How the numbers go together.
    pub correlations: Correlations,
    /// Whether normal and attack rows differ; `None` without both.
    pub hypotheses: Option<Hypotheses>,
    /// The principal components of the numbers; `None` when none varies.
    pub components: Option<Components>,
    /// The K-means sweep; `None` when it was left out.
    pub kmeans: Option<KMeansFacts>,
    /// The clusters of DBSCAN; `None` when it was left out.
    pub dbscan: Option<DbscanFacts>,
    /// What was sampled or left out, and why: sentences for the reader.
    pub notes: Vec<String>,
    #[serde(skip)]
    assigned: [Assigned; 2],
    #[serde(skip)]
    numbers: Vec<u64>,
}

/// How often something occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// In how many rows.
    pub rows: u64,
}

/// Who parted the rows into clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// K-means with the chosen number of clusters.
    Kmeans,
    /// DBSCAN.
    Dbscan,
}

impl Exploration {
    /// Explores a table. Equal tables, settings and seeds give equal results on any number of cores.
    ///
    /// Memory beyond the table grows with the rows alone: 24 bytes for each number of each row that
    /// DBSCAN is made of, and about as many for each row (measured: 66 MB for 350,000 rows of five
    /// columns).
    pub fn of(table: &Table, params: &ExploreParams, seed: u64) -> Self {
        let mut notes = Vec::new();
        if !table.has_labels() {
            notes.push("labels were not read: there are no classes and no tests".to_owned());
        }
        let plain = Scales::of(table, &[], false);
        let scaled = if params.logarithms { Scales::of(table, &[], true) } else { plain.clone() };
        let (kmeans, by_kmeans) = kmeans(table, &scaled, params, seed, &mut notes).unzip();
        let (dbscan, by_dbscan) = dbscan(table, &scaled, params, seed, &mut notes).unzip();
        let (classes, labels) = counts(table);
        let attacks = (0..table.len()).filter(|row| table.is_attack(*row)).count() as u64;
        Self {
            schema: table.schema().name.clone(),
            rows: table.len() as u64,
            rejected: table.rejected().count,
            checksum: table.checksum(),
            has_labels: table.has_labels(),
            seed,
            params: params.clone(),
            attacks: table.has_labels().then_some(attacks),
            classes,
            labels,
            columns: columns::facts(table, params),
            correlations: Correlations::of(table, &plain, params.strong),
            hypotheses: Hypotheses::of(table, params.alpha),
            components: Components::of(table, &scaled),
            kmeans,
            dbscan,
            notes,
            assigned: [by_kmeans, by_dbscan].map(Option::unwrap_or_default),
            numbers: (0..table.len()).map(|row| table.number(row)).collect(),
        }
    }

    /// Returns, for each row that was used, its number among all rows that were read (from 0, bad
    /// ones counted, headers not) and its cluster, `None` for noise. Nothing when the grouping was
    /// left out.
    pub fn labelled(&self, by: Grouping) -> impl Iterator<Item = (u64, Option<u32>)> {
        let assigned = match by {
            Grouping::Kmeans => &self.assigned[0],
            Grouping::Dbscan => &self.assigned[1],
        };
        self.numbers.iter().copied().zip(assigned.iter().copied())
    }
}

fn kmeans(
    table: &Table,
    scales: &Scales,
    params: &ExploreParams,
    seed: u64,
    notes: &mut Vec<String>,
) -> Option<(KMeansFacts, Assigned)> {
    if !params.kmeans.enabled {
        return None;
    }
    let found = groups::kmeans(table, scales, &params.kmeans, seed);
    let (facts, assigned) = found.map_err(|why| notes.push(why)).ok()?;
    let (fitted, judged, all) = (facts.rows, facts.silhouette_rows, table.len());
    notes.push(format!(
        "K-means was fitted on {fitted} of {all} rows, its silhouettes computed on {judged}"
    ));
    Some((facts, assigned))
}

fn dbscan(
    table: &Table,
    scales: &Scales,
    params: &ExploreParams,
    seed: u64,
    notes: &mut Vec<String>,
) -> Option<(DbscanFacts, Assigned)> {
    let names = &params.dbscan.columns;
    if !params.dbscan.enabled {
        return None;
    }
    for name in names.iter().filter(|name| table.schema().column(name).is_none()) {
        notes.push(format!("DBSCAN was done without `{name}`, which is no column of the schema"));
    }
    let own = (!names.is_empty()).then(|| Scales::of(table, names, params.logarithms));
    let scales = own.as_ref().unwrap_or(scales);
    let found = groups::dbscan(table, scales, &params.dbscan, seed);
    let (facts, assigned) = found.map_err(|why| notes.push(why)).ok()?;
    if facts.rows < table.len() as u64 {
        let (rows, all) = (facts.rows, table.len());
        notes.push(format!("DBSCAN was done on {rows} of {all} rows; the others joined"));
    }
    Some((facts, assigned))
}

/// Returns the rows of each class and of each label.
fn counts(table: &Table) -> (Vec<Count>, Vec<Count>) {
    if !table.has_labels() {
        return (Vec::new(), Vec::new());
    }
    let count = |(name, rows): (&String, u64)| Count { name: name.clone(), rows };
    let mut rows = vec![0; table.names.len()];
    table.labels.iter().for_each(|label| rows[*label as usize] += 1);
    let mut labels: Vec<Count> = table.names.iter().zip(rows).map(count).collect();
    labels.retain(|label| label.rows > 0);
    labels.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.name.cmp(&b.name)));
    let classes = table.schema().classes.iter().zip(table.class_counts()).map(count).collect();
    (classes, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::blobs;
    use crate::models::schema::Schema;

    #[test]
    fn a_labelled_table_is_explored_the_same_each_time() {
        let table = blobs(300, 1);
        let found = Exploration::of(&table, &ExploreParams::default(), 42);
        let json = serde_json::to_string(&found).unwrap();
        let again = Exploration::of(&table, &ExploreParams::default(), 42);
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
        assert_eq!((found.rows, found.columns.len(), found.labels.len()), (300, 8, 2));
        assert_eq!(found.attacks, Some(100));
        assert_eq!(found.classes[1], Count { name: "attack".to_owned(), rows: 100 });
        let tests = found.hypotheses.as_ref().unwrap();
        assert!(tests.numbers[0].welch.is_significant && tests.numbers[0].welch.t < 0.0);
        assert!(!json.contains("assigned") && !json.contains("\"numbers\":[0,"));
        assert_eq!(found.kmeans.as_ref().unwrap().chosen, 2);
    }

    #[test]
    fn every_row_is_exported_with_its_number_and_cluster() {
        let table = testing::five(&"1,2,3,4,5\n1,x,3,4,5\n7,2,3,4,5\n".repeat(40));
        let found = Exploration::of(&table, &ExploreParams::default(), 42);
        let rows: Vec<_> = found.labelled(Grouping::Dbscan).take(3).collect();
        assert_eq!(rows, [(0, Some(0)), (2, Some(1)), (3, Some(0))]);
        assert_eq!(found.labelled(Grouping::Kmeans).count(), 80);
        assert_eq!((found.rejected, found.hypotheses), (40, None));
        assert!(found.classes.is_empty() && found.labels.is_empty());
    }

    #[test]
    fn a_table_without_rows_and_settings_out_of_range_are_no_fault() {
        let empty = Table::empty(&Schema::built_in("kdd").unwrap());
        let found = Exploration::of(&empty, &ExploreParams::default(), 1);
        assert!(found.kmeans.is_none() && found.dbscan.is_none() && found.notes.len() == 2);
        assert_eq!(found.labelled(Grouping::Kmeans).count(), 0);
        let params = ExploreParams {
            fence: f64::NAN,
            alpha: -1.0,
            kmeans: Sweep { least: 0, most: 3, rows: 0, silhouette_rows: 0, enabled: true },
            dbscan: Density {
                columns: vec!["colour".to_owned()],
                min_points: 0,
                rows: 0,
                ..Density::default()
            },
            ..ExploreParams::default()
        };
        let found = Exploration::of(&blobs(30, 1), &params, 1);
        assert!(found.notes.iter().any(|note| note.contains("`colour`")), "{:?}", found.notes);
        serde_json::to_string(&found).unwrap();
    }
}
