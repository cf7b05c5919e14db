//! Columns over time, stacked when there are several series.

use super::Unit;
use super::format::finite;
use super::frame::{Plot, TOP, empty, legend, paper};
use super::svg::{Rectangle, Svg};

/// Columns over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// What is shown.
    pub title: String,
    /// One per moment, for example `08`.
    pub labels: Vec<String>,
    /// One is drawn as plain columns; several are stacked, the first at the bottom.
    pub series: Vec<Series>,
    /// What the values are.
    pub unit: Unit,
    /// Said instead of a chart when every value is 0.
    pub when_empty: String,
}

/// The values of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Shown in the legend when there are several.
    pub name: String,
    /// One per moment; missing ones count as 0.
    pub values: Vec<f64>,
    /// A colour of [`super::palette`].
    pub color: &'static str,
}

impl Columns {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let totals = (0..self.labels.len()).map(|index| self.total(index));
        let maximum = totals.fold(0.0, f64::max);
        if maximum <= 0.0 {
            return empty(&self.title, &self.when_empty);
        }
        let has_legend = self.series.len() > 1;
        let top = if has_legend { TOP + 34.0 } else { TOP };
        let mut svg = paper(&self.title, Plot::height(top));
        if has_legend {
            let names: Vec<_> = self.series.iter().map(|s| (s.name.as_str(), s.color)).collect();
            legend(&mut svg, TOP + 10.0, &names);
        }
        let plot = Plot::draw(&mut svg, top, maximum, self.unit, &self.labels);
        for index in 0..self.labels.len() {
            self.stack(&mut svg, &plot, index);
        }
        svg.finish()
    }

    fn stack(&self, svg: &mut Svg, plot: &Plot, index: usize) {
        let width = (plot.slot() * 0.74).min(60.0);
        let mut below = 0.0;
        for series in &self.series {
            let value = series.value(index);
            if value <= 0.0 {
                continue;
            }
            let (bottom, top) = (plot.y(below), plot.y(below + value));
            // a single event beside thousands still shows
            let height = (bottom - top).max(2.0);
            let x = plot.x(index) - width / 2.0;
            svg.rectangle(Rectangle { x, y: bottom - height, width, height }, 2.0, series.color);
            below += value;
        }
    }

    fn total(&self, index: usize) -> f64 {
        self.series.iter().map(|series| series.value(index)).sum()
    }
}

impl Series {
    fn value(&self, index: usize) -> f64 {
        self.values.get(index).copied().map_or(0.0, finite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::palette;

    fn hours(count: usize) -> Vec<String> {
        (0..count).map(|hour| format!("{:02}", hour % 24)).collect()
    }

    #[test]
    fn a_day_of_stacked_columns() {
        let labels = hours(24);
        let low = (0..24).map(|hour| f64::from(hour % 5)).collect();
        let high = (0..24).map(|hour| f64::from(u8::from(hour == 3)) * 9.0).collect();
        let series = vec![
            Series { name: "low".to_owned(), values: low, color: palette::LOW },
            Series { name: "high".to_owned(), values: high, color: palette::HIGH },
        ];
        let title = "Anomalies per hour".to_owned();
        let chart = Columns { title, labels, series, unit: Unit::Count, when_empty: String::new() };
        insta::assert_snapshot!(chart.svg());
    }

    #[test]
    fn nothing_at_all_is_said_in_words() {
        let series =
            vec![Series { name: String::new(), values: vec![0.0; 24], color: palette::LOW }];
        let chart = Columns {
            title: "Anomalies per hour".to_owned(),
            labels: hours(24),
            series,
            unit: Unit::Count,
            when_empty: "No anomalies on this day".to_owned(),
        };
        insta::assert_snapshot!(chart.svg());
    }

    #[test]
    fn a_missing_value_is_no_column() {
        let series = vec![Series { name: String::new(), values: vec![1.0], color: palette::SKY }];
        let chart = Columns {
            title: String::new(),
            labels: hours(25),
            series,
            unit: Unit::Bytes,
            when_empty: String::new(),
        };
        assert_eq!(chart.svg().matches(palette::SKY).count(), 1);
    }
}
