//! What an exploration looks for, and how far.

use serde::{Deserialize, Serialize};

use crate::learn::params::ParamsError;

/// Settings of an exploration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExploreParams {
    /// Words of a column that are counted one by one, the most frequent first; the rest is summed.
    pub words: usize,
    /// Fences of the box plots stand so many interquartile ranges beyond the quartiles; above 0.
    /// 1.5 is Tukey's inner fence; system 001 flags beyond 3.
    pub fence: f64,
    /// Pairs of columns whose correlation is at least so strong, up or down, are listed; 0–1.
    pub strong: f64,
    /// A difference is significant when it is so rare by chance; above 0, up to 1.
    pub alpha: f64,
    /// Whether columns that the schema marks as counts are clustered on ln(1 + |x|) instead of as
    /// they are: a few giant transfers are then no clusters of their own.
    pub logarithms: bool,
    /// The groups of K-means.
    pub kmeans: Sweep,
    /// The groups of DBSCAN.
    pub dbscan: Density,
}

/// Settings of the K-means sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// Whether it is done.
    pub enabled: bool,
    /// Fewest clusters tried; at least 2.
    pub least: usize,
    /// Most clusters tried; up to 100.
    pub most: usize,
    /// Rows that centres are fitted on, drawn by the seed; at least 1.
    pub rows: usize,
    /// Of these, rows that silhouettes are computed on: they cost the square of it; at least 2.
    pub silhouette_rows: usize,
}

/// Settings of DBSCAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Density {
    /// Whether it is done.
    pub enabled: bool,
    /// The number columns it is done on; none given: all that vary.
    pub columns: Vec<String>,
    /// Rows at most so far apart, in standard deviations of the columns, are near; above 0.
    pub radius: f64,
    /// Rows that must be near a row, itself among them, for it to be in the core of a cluster; at
    /// least 1.
    pub min_points: usize,
    /// Rows that clusters are made of, drawn by the seed when there are more; the others join the
    /// cluster of the nearest core row within the radius. At least 1.
    pub rows: usize,
    /// The same where there are more than eight columns, in which few rows can be told to be far
    /// without looking at them: the cost goes towards the square. At least 1.
    pub wide_rows: usize,
}

impl Default for ExploreParams {
    fn default() -> Self {
        Self {
            words: 50,
            fence: 1.5,
            strong: 0.8,
            alpha: 0.05,
            logarithms: false,
            kmeans: Sweep::default(),
            dbscan: Density::default(),
        }
    }
}

impl Default for Sweep {
    /// The sweep of system 000, in seconds instead of a minute. Where giants carry the deviations the
    /// result depends on the rows drawn: KDDTrain+ as it is has its best silhouette at 12 clusters
    /// on 10,000 rows and at 2 on all, and distortions differ by up to a quarter.
    fn default() -> Self {
        Self { enabled: true, least: 2, most: 19, rows: 10_000, silhouette_rows: 2_000 }
    }
}

impl Default for Density {
    /// The radius of system 001 for flows; 5 rows instead of its 2, with which chance meetings of
    /// two rows are clusters. 350,000 rows of five columns take 5 s, 20,000 of the 38 of KDDTrain+
    /// with the 126,000 rows that join them 13 s.
    fn default() -> Self {
        let (rows, wide_rows) = (350_000, 20_000);
        Self { enabled: true, columns: Vec::new(), radius: 0.5, min_points: 5, rows, wide_rows }
    }
}

impl ExploreParams {
    /// Checks ranges. [`super::Exploration::of`] takes unchecked ones, too, and pulls them in.
    pub fn check(&self) -> Result<(), ParamsError> {
        let within = |key, is_in: bool, must, got: f64| {
            if is_in { Ok(()) } else { Err(ParamsError::Range { key, must, got: got.to_string() }) }
        };
        let (fence, strong, alpha) = (self.fence, self.strong, self.alpha);
        let (sweep, density) = (&self.kmeans, &self.dbscan);
        within("fence", fence > 0.0 && fence.is_finite(), "above 0", fence)?;
        within("strong", (0.0..=1.0).contains(&strong), "0 to 1", strong)?;
        within("alpha", alpha > 0.0 && alpha <= 1.0, "above 0, up to 1", alpha)?;
        let (least, most) = (sweep.least, sweep.most);
        within("kmeans.least", least >= 2, "at least 2", least as f64)?;
        let is_in = (least..=MOST_CLUSTERS).contains(&most);
        within("kmeans.most", is_in, "from `kmeans.least` to 100", most as f64)?;
        within("kmeans.rows", sweep.rows > 0, "at least 1", sweep.rows as f64)?;
        let rows = sweep.silhouette_rows;
        within("kmeans.silhouette_rows", rows >= 2, "at least 2", rows as f64)?;
        let radius = density.radius;
        within("dbscan.radius", radius > 0.0 && radius.is_finite(), "above 0", radius)?;
        let least = density.min_points;
        within("dbscan.min_points", least > 0, "at least 1", least as f64)?;
        within("dbscan.rows", density.rows > 0, "at least 1", density.rows as f64)?;
        within("dbscan.wide_rows", density.wide_rows > 0, "at least 1", density.wide_rows as f64)
    }
}

/// Most clusters of a sweep: each costs a fit.
pub(super) const MOST_CLUSTERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_a_value_out_of_it_names_its_setting() {
        let params = ExploreParams::default();
        params.check().unwrap();
        let wrong = ExploreParams { alpha: f64::NAN, ..params.clone() };
        assert!(wrong.check().unwrap_err().to_string().contains("`alpha` must be above 0"));
        let kmeans = Sweep { most: 1, ..Sweep::default() };
        let wrong = ExploreParams { kmeans, ..params };
        assert!(wrong.check().unwrap_err().to_string().contains("`kmeans.most`"));
    }

    #[test]
    fn settings_are_read_with_defaults_and_unknown_ones_are_named() {
        let params: ExploreParams = serde_json::from_str(r#"{"dbscan": {"radius": 1}}"#).unwrap();
        assert_eq!((params.dbscan.radius, params.dbscan.min_points), (1.0, 5));
        let wrong = serde_json::from_str::<ExploreParams>(r#"{"fences": 3}"#).unwrap_err();
        assert!(wrong.to_string().contains("`fences`"));
    }
}
