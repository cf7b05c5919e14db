//! Small tables for tests.

use crate::models::schema::Schema;

use super::random::Random;
use super::table::Table;

/// Rows of the schema `flow`: normal ones around 100 bytes and 10 flows, one in three an attack around
/// 20,000 bytes and 300 flows; the other columns are noise.
pub(crate) fn blobs(rows: usize, seed: u64) -> Table {
    let mut random = Random::new(seed, 0);
    let mut text = String::new();
    for n in 0..rows {
        let is_attack = n % 3 == 0;
        let (bytes, flows) = if is_attack { (20_000.0, 300.0) } else { (100.0, 10.0) };
        let mut noise = || 0.5 + random.unit();
        text += &format!("{:.2},{:.2}", bytes * noise(), flows * noise());
        (0..6).for_each(|_| text += &format!(",{:.2}", 10.0 * noise()));
        text += if is_attack { ",attack\n" } else { ",normal\n" };
    }
    Table::read(&Schema::built_in("flow").expect("it is built in"), text.as_bytes())
        .expect("it is a table")
}
