//! What the columns of a labelled table mean: names, kinds, cleaning rules, labels and classes.
//!
//! A [`Schema`] is data: the built-in ones (`kdd`, `cicflow`, `flow` …) and those of a schema file
//! are the same type, and every model file carries the one it was trained with. [`Layout`] turns a
//! header or a position into columns; `models::record` reads rows by it.

mod cicflow;
mod kdd;
mod layout;
mod other;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use layout::Layout;
pub(crate) use layout::Source;

/// Most columns a schema may have: features are numbered by 16 bits with room to spare.
const MOST_COLUMNS: usize = 4096;
/// Most classes: labels of rows are kept in 16 bits, and every class costs a table column.
const MOST_CLASSES: usize = 256;

/// The columns, labels and classes of one kind of record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Name under which commands know it.
    pub name: String,
    /// The features in the order of a table without a header.
    pub columns: Vec<Column>,
    /// Names of the label column; in a table without a header it follows the features.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Columns that are known and never read: identifiers, times, and whatever tells the answer.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// The classes in the order of their codes, from 0.
    pub classes: Vec<String>,
    /// The class that is not an attack.
    pub normal: String,
    /// From the label as written (in lower case, without a final dot) to its class. A label that is
    /// itself the name of a class need not be listed.
    #[serde(default)]
    pub label_map: BTreeMap<String, String>,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The name in reports and messages.
    pub name: String,
    /// Other spellings. Case and all but letters and digits are ignored in any spelling.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What its cells hold.
    pub kind: Kind,
    /// What to do with a record that has no such column.
    #[serde(default)]
    pub absent: Absent,
}

/// What the cells of a column hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// A word out of a set that training learns; words it did not see share one encoding.
    Category,
    /// A number.
    Number {
        /// Whether ln(1 + |x|), with the sign of x, is what distances are measured on: for counts
        /// and bytes, whose size matters by factors. Trees are indifferent to it.
        #[serde(default)]
        log: bool,
        /// The least valid value, if there is one.
        #[serde(default)]
        least: Option<f64>,
        /// What an empty, endless or too small value, or one that is no number, does.
        #[serde(default)]
        invalid: Invalid,
    },
}

/// What an invalid number does to its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invalid {
    /// The row is rejected.
    #[default]
    Rejected,
    /// The value counts as missing: the median of the training rows stands for it.
    Missing,
}

/// What a record that lacks a column altogether gets there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// The record is rejected.
    #[default]
    Rejected,
    /// The median of the training rows.
    Median,
    /// This number.
    Value(f64),
    /// The value of another column, which says nearly the same.
    SameAs(String),
}

/// Why a schema cannot be used, or a table not be read by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// No built-in schema has the name.
    #[error("unknown schema `{name}` (built in: {known})")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The schema contradicts itself.
    #[error("schema `{schema}`: {reason}")]
    Unsound {
        /// The schema.
        schema: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header lacks columns that the schema needs.
    #[error("schema `{schema}`: the header has no column {}", columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))]
    MissingColumns {
        /// The schema.
        schema: String,
        /// The names that were not found.
        columns: Vec<String>,
    },
}

impl Schema {
    /// The names of the built-in schemas.
    pub const BUILT_IN: [&str; 5] = ["kdd", "cicflow", "flow", "unsw", "cic2017"];

    /// Returns the built-in schema of this name.
    pub fn built_in(name: &str) -> Result<Self, SchemaError> {
        match name {
            "kdd" => Ok(kdd::schema()),
            "cicflow" => Ok(cicflow::schema()),
            "flow" => Ok(other::flow()),
            "unsw" => Ok(other::unsw()),
            "cic2017" => Ok(other::cic2017()),
            _ => {
                let known = Self::BUILT_IN.join(", ");
                Err(SchemaError::Unknown { name: name.to_owned(), known })
            }
        }
    }

    /// Checks what the type cannot: names that are clear, a normal class, a map onto classes.
    pub fn check(&self) -> Result<(), SchemaError> {
        let unsound =
            |reason: String| Err(SchemaError::Unsound { schema: self.name.clone(), reason });
        if self.columns.is_empty() || self.columns.len() > MOST_COLUMNS {
            return unsound(format!("columns must be 1 to {MOST_COLUMNS}"));
        }
        if self.classes.len() < 2 || self.classes.len() > MOST_CLASSES {
            return unsound(format!("classes must be 2 to {MOST_CLASSES}"));
        }
        let mut seen = BTreeMap::new();
        for (n, column) in self.columns.iter().enumerate() {
            for spelling in column.spellings() {
                let other = seen.insert(plain(spelling), n);
                if other.is_some_and(|other| other != n) {
                    return unsound(format!("the name `{spelling}` stands for two columns"));
                }
            }
            if let Absent::SameAs(other) = &column.absent
                && !self.columns.iter().any(|column| {
                    column.name == *other
                        && column.absent == Absent::Rejected
                        && matches!(column.kind, Kind::Number { .. })
                })
            {
                return unsound(format!("`{}` cannot be taken from `{other}`", column.name));
            }
            if column.kind == Kind::Category && column.absent != Absent::Rejected {
                return unsound(format!("the category `{}` needs a value", column.name));
            }
        }
        if self.class_of(&self.normal).is_none() {
            return unsound(format!("the normal class `{}` is not a class", self.normal));
        }
        match self.label_map.values().find(|class| !self.classes.contains(class)) {
            Some(class) => unsound(format!("labels are mapped to `{class}`, which is not a class")),
            None => Ok(()),
        }
    }

    /// The code of the normal class; 0 in a schema that was not checked and names none.
    pub fn normal_code(&self) -> usize {
        self.classes.iter().position(|class| *class == self.normal).unwrap_or(0)
    }

    /// Returns the code of the class that a label as written belongs to.
    pub fn class_of(&self, label: &str) -> Option<usize> {
        let label = clean_label(label);
        let place = |name: &str| {
            self.classes.iter().position(|class| class.eq_ignore_ascii_case(name.trim()))
        };
        match self.label_map.get(&label) {
            Some(class) => place(class),
            None => place(&label),
        }
    }

    /// Returns the number of the column with this name, in any spelling.
    pub fn column(&self, name: &str) -> Option<usize> {
        let wanted = plain(name);
        self.columns.iter().position(|column| column.spellings().any(|name| plain(name) == wanted))
    }

    /// How many columns hold words.
    pub fn categories(&self) -> usize {
        self.columns.iter().filter(|column| column.kind == Kind::Category).count()
    }
}

impl Column {
    /// A column of numbers that must not be negative, compared by factors.
    pub(crate) fn count(name: &str) -> Self {
        Self::number(name, true, Some(0.0))
    }

    /// A column of numbers that must not be negative, compared by differences.
    pub(crate) fn share(name: &str) -> Self {
        Self::number(name, false, Some(0.0))
    }

    pub(crate) fn number(name: &str, log: bool, least: Option<f64>) -> Self {
        let kind = Kind::Number { log, least, invalid: Invalid::Rejected };
        Self { name: name.to_owned(), aliases: Vec::new(), kind, absent: Absent::Rejected }
    }

    pub(crate) fn category(name: &str) -> Self {
        Self { kind: Kind::Category, ..Self::count(name) }
    }

    fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// The form in which names are compared: letters and digits in lower case.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The form in which labels are looked up: trimmed, without KDD'99's final dot, in lower case.
pub fn clean_label(label: &str) -> String {
    let label = label.trim();
    label.strip_suffix('.').unwrap_or(label).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_schema_is_sound_and_survives_json() {
        for name in Schema::BUILT_IN {
            let schema = Schema::built_in(name).unwrap();
            schema.check().unwrap();
            let text = serde_json::to_string(&schema).unwrap();
            assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
        }
    }

    #[test]
    fn an_unknown_schema_names_those_there_are() {
        let error = Schema::built_in("kd").unwrap_err().to_string();
        assert_eq!(error, "unknown schema `kd` (built in: kdd, cicflow, flow, unsw, cic2017)");
    }

    #[test]
    fn a_name_for_two_columns_is_refused() {
        let mut schema = Schema::built_in("flow").unwrap();
        schema.columns[0].aliases.push("Sum of flows".to_owned());
        let error = schema.check().unwrap_err().to_string();
        assert!(error.contains("two columns"), "{error}");
    }
}
