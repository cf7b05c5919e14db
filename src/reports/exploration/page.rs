//! The parts as a page.

use handlebars::Handlebars;
use serde_json::{Value, json};

use crate::charts::format::count;
use crate::learn::explore::Exploration;

use super::super::ReportError;
use super::super::clean::{clean, clean_all};
use super::Origin;
use super::part::{Grid, Part};
use super::words::{attack_share, list};

const NAME: &str = "exploration.html.hbs";
const TEMPLATE: &str = include_str!("../../../reports/exploration.html.hbs");

pub(super) fn page(
    found: &Exploration,
    origin: &Origin,
    parts: &[Part],
) -> Result<String, ReportError> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    let failed = |line: Option<usize>, reason: String| ReportError::Template {
        file: NAME.to_owned(),
        line: line.unwrap_or_default(),
        reason: clean(&reason),
    };
    registry
        .register_template_string(NAME, TEMPLATE)
        .map_err(|error| failed(error.pos().map(|(line, _)| line), error.reason().to_string()))?;
    registry
        .render(NAME, &data(found, origin, parts))
        .map_err(|error| failed(error.line_no, error.reason().to_string()))
}

/// Everything the template prints. Strings are cleaned but for the pictures, which are ours: what
/// came from data was cleaned and escaped when they were drawn.
fn data(found: &Exploration, origin: &Origin, parts: &[Part]) -> Value {
    let part = |part: &Part| {
        let tables: Vec<Value> = part.tables.iter().filter_map(table).collect();
        let mut value = json!({
            "id": part.id,
            "heading": part.heading,
            "gist": part.gist,
            "sentences": part.sentences,
            "tables": tables,
        });
        clean_all(&mut value);
        let charts = |is_wide: bool| -> Vec<&str> {
            let own = part.charts.iter().filter(|chart| chart.is_wide == is_wide);
            own.map(|chart| chart.svg.as_str()).collect()
        };
        value["wide_charts"] = json!(charts(true));
        value["charts"] = json!(charts(false));
        value
    };
    let files = list(origin.files.iter().map(String::as_str), 5);
    let fact = |name: &str, value: String| json!({ "name": name, "value": value });
    let mut data = json!({
        "title": format!("What {files} holds"),
        "files": files,
        "schema": found.schema,
        "seed": found.seed.to_string(),
        "checksum": found.checksum,
        "facts": [
            fact("Rows", count(found.rows)),
            fact("Left out", count(found.rejected)),
            fact("Columns", count(found.columns.len() as u64)),
            fact("Attacks", attack_share(found.attacks, found.rows)),
        ],
    });
    clean_all(&mut data);
    data["parts"] = parts.iter().map(part).collect();
    data
}

/// `None` for a table without rows.
fn table(grid: &Grid) -> Option<Value> {
    let cell = |(text, place): (&str, usize)| json!({ "text": text, "is_number": grid.columns[place].is_number });
    let heads = grid.columns.iter().map(|column| column.name).zip(0..);
    let heads: Vec<Value> = heads.map(cell).collect();
    let row = |row: &Vec<String>| -> Vec<Value> {
        let cells = row.iter().take(grid.columns.len()).map(String::as_str);
        cells.zip(0..).map(cell).collect()
    };
    let rows: Vec<Vec<Value>> = grid.rows.iter().map(row).collect();
    let table = json!({ "caption": grid.caption, "heads": heads, "rows": rows });
    (!rows.is_empty()).then_some(table)
}
