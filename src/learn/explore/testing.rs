//! Real tables for tests, where they are at hand.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::learn::table::Table;
use crate::models::schema::Schema;

/// KDDTrain+; says so when it is not there.
pub(super) fn kdd_train() -> Option<Table> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("FLOWSENTRY_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join("data/nsl-kdd/KDDTrain+.txt.zst");
    let Ok(bytes) = std::fs::read(&path) else {
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let skipped = format!("skipped: no {} (set FLOWSENTRY_SHARED)\n", path.display());
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return None;
    };
    let mut text = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(&bytes[..]).unwrap().read_to_end(&mut text).unwrap();
    let table = Table::read(&Schema::built_in("kdd").unwrap(), &text[..]).unwrap();
    assert_eq!(table.len(), 125_973);
    Some(table)
}

/// Rows of the five columns of system 000.
pub(super) fn five(rows: &str) -> Table {
    let text = format!("sumOfBytes,sumOfFlows,sumOfPackets,uniqDstIPs,uniqDstPorts\n{rows}");
    Table::read_unlabelled(&Schema::built_in("flow").unwrap(), text.as_bytes()).unwrap()
}
