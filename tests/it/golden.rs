//! Values in the shared tier: their bytes change only together with the schema number.

use std::path::Path;

use chatchonk::cache::CATALOGUE;
use chatchonk::domain::snapshot::Snapshot;

#[test]
fn the_catalogue_in_kv_matches_its_schema_number() {
    let name = format!("tests/it/golden/catalogue.{}.json", CATALOGUE.schema);
    let golden =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name)).unwrap_or_default();
    // An added, removed or renamed field shows when the value is written again.
    let written = serde_json::from_str::<Snapshot>(&golden)
        .and_then(|snapshot| Ok(serde_json::to_string_pretty(&snapshot)? + "\n"));
    assert!(
        matches!(&written, Ok(written) if *written == golden),
        "the format of the shared tier differs from {name}, so instances of other releases would misread it. Raise \
         CATALOGUE.schema in src/cache/family.rs, keep the file of the old number, and write a small catalogue in the \
         current format into a file of the new number. Current format: {written:#?}"
    );
}
