//! A line over time against the band of what is usual.

use super::format::finite;
use super::frame::{Plot, TOP, empty, legend, paper};
use super::svg::{Svg, number};
use super::{Unit, palette};

/// A line over time with a band.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What is shown.
    pub title: String,
    /// One per moment, for example `08`.
    pub labels: Vec<String>,
    /// One per moment.
    pub points: Vec<Point>,
    /// What the line is, for the legend.
    pub name: String,
    /// What the band is, for the legend; not shown when no point has a band.
    pub band_name: String,
    /// What the values are.
    pub unit: Unit,
    /// The place of a moment that is drawn with a dot.
    pub marked: Option<usize>,
    /// Said instead of a chart when every value is 0 or absent.
    pub when_empty: String,
}

/// One moment of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// How much; absent = a gap in the line.
    pub value: Option<f64>,
    /// Lower and upper end of what is usual.
    pub band: Option<(f64, f64)>,
}

const BAND: &str = palette::SKY;

impl Line {
    /// Returns the picture.
    pub fn svg(&self) -> String {
        let values = self.points.iter().filter_map(|point| point.value).map(finite);
        let highest = values.fold(0.0, f64::max);
        if highest <= 0.0 {
            return empty(&self.title, &self.when_empty);
        }
        let bands = self.points.iter().filter_map(|point| point.band);
        let maximum = bands.map(|(_, upper)| finite(upper)).fold(highest, f64::max);
        let has_band = self.points.iter().any(|point| point.band.is_some());
        let top = if has_band { TOP + 34.0 } else { TOP };
        let mut svg = paper(&self.title, Plot::height(top));
        if has_band {
            // the band is drawn lighter than its legend would be; both get the mixed colour
            let entries =
                [(self.name.as_str(), palette::BLUE), (self.band_name.as_str(), "#cce7f8")];
            legend(&mut svg, TOP + 10.0, &entries);
        }
        let plot = Plot::draw(&mut svg, top, maximum, self.unit, &self.labels);
        for run in runs(&self.points, |point| point.band.is_some()) {
            self.draw_band(&mut svg, &plot, run);
        }
        for run in runs(&self.points, |point| point.value.is_some()) {
            self.draw_line(&mut svg, &plot, run, !has_band);
        }
        self.draw_mark(&mut svg, &plot);
        svg.finish()
    }

    fn draw_band(&self, svg: &mut Svg, plot: &Plot, run: Run) {
        let ends = |index: usize| self.points[index].band.unwrap_or_default();
        let mut path = Path::default();
        for index in run.clone() {
            let (lower, upper) = ends(index);
            path.to(plot.x(index), plot.y(upper.max(lower)));
        }
        for index in run.rev() {
            let (lower, upper) = ends(index);
            path.to(plot.x(index), plot.y(lower.min(upper)));
        }
        svg.shape(&format!("{}Z", path.0), BAND, 0.3);
    }

    fn draw_mark(&self, svg: &mut Svg, plot: &Plot) {
        let point = self.marked.and_then(|index| Some((index, self.points.get(index)?.value?)));
        let Some((index, value)) = point else { return };
        let place = (plot.x(index), plot.y(value));
        svg.circle(place, 9.0, palette::PAPER);
        svg.circle(place, 7.0, palette::ORANGE);
    }

    fn draw_line(&self, svg: &mut Svg, plot: &Plot, run: Run, filled: bool) {
        let mut path = Path::default();
        for index in run.clone() {
            path.to(plot.x(index), plot.y(self.points[index].value.unwrap_or_default()));
        }
        let (first, last) = (run.start, run.end - 1);
        if filled && first < last {
            let (left, right, floor) = (plot.x(first), plot.x(last), plot.y(0.0));
            let mut area = path.clone();
            area.to(right, floor);
            area.to(left, floor);
            svg.shape(&format!("{}Z", area.0), palette::BLUE, 0.12);
        }
        if first == last {
            let value = self.points[first].value.unwrap_or_default();
            svg.circle((plot.x(first), plot.y(value)), 4.0, palette::BLUE);
        }
        svg.stroke(path.0.trim_end(), palette::BLUE, 3.0);
    }
}

type Run = std::ops::Range<usize>;

/// Returns the longest stretches of neighbours that `belongs` accepts.
fn runs(points: &[Point], belongs: impl Fn(&Point) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, _) in points.iter().enumerate().filter(|(_, point)| belongs(point)) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

/// SVG path data under construction.
#[derive(Clone, Default)]
struct Path(String);

impl Path {
    fn to(&mut self, x: f64, y: f64) {
        let verb = if self.0.is_empty() { 'M' } else { 'L' };
        self.0.push_str(&format!("{verb} {} {} ", number(x), number(y)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<Point>) -> String {
        Line {
            title: "Bytes per hour".to_owned(),
            labels: (0..points.len()).map(|hour| format!("{hour:02}")).collect(),
            points,
            name: "this day".to_owned(),
            band_name: "previous 7 days".to_owned(),
            unit: Unit::Bytes,
            marked: None,
            when_empty: "No flows on this day".to_owned(),
        }
        .svg()
    }

    #[test]
    fn a_line_runs_over_its_band_and_stops_at_gaps() {
        let mut points: Vec<Point> = (0..24)
            .map(|hour| {
                let value = f64::from(hour) * 1e8;
                Point { value: Some(value), band: Some((value * 0.8, value * 1.3)) }
            })
            .collect();
        points[9].value = None;
        points[11].value = None;
        let svg = line(points);
        assert_eq!(svg.matches("<circle").count(), 1, "the lone point between two gaps");
        insta::assert_snapshot!(svg);
    }

    #[test]
    fn a_marked_moment_has_a_dot_and_one_without_a_value_none() {
        let points = [Some(0.2), Some(0.4), None].map(|value| Point { value, band: None });
        let line = |marked| Line {
            title: "Silhouette".to_owned(),
            labels: ["2", "3", "4"].map(str::to_owned).to_vec(),
            points: points.to_vec(),
            name: String::new(),
            band_name: String::new(),
            unit: Unit::Measure,
            marked,
            when_empty: String::new(),
        };
        assert_eq!(line(Some(2)).svg(), line(None).svg());
        insta::assert_snapshot!(line(Some(1)).svg());
    }

    #[test]
    fn a_first_day_has_no_band_and_no_legend() {
        let points = vec![Point { value: Some(5.0), band: None }; 24];
        let svg = line(points);
        assert!(!svg.contains("previous 7 days"));
        assert!(line(vec![Point::default(); 24]).contains("No flows on this day"));
    }
}
