//! Values in the shared tier: their bytes change only together with the schema number.

use std::path::Path;

use chatchonk::cache::CATALOGUE;
use chatchonk::domain::snapshot::Snapshot;

/// Reads a value and writes it again, so an added, removed or renamed field shows.
fn written_again(bytes: &str) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&serde_json::from_str::<Snapshot>(bytes)?)? + "\n")
}

#[test]
fn the_catalogue_in_kv_matches_its_schema_number() {
    let name = format!("tests/it/golden/catalogue.{}.json", CATALOGUE.schema);
    let golden =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name)).unwrap_or_default();
    let written = written_again(&golden);
    assert!(
        matches!(&written, Ok(written) if *written == golden),
        "what is written to the shared tier is not what {name} holds, and instances of other releases would misread it. \
         Raise CATALOGUE.schema in src/cache/family.rs, leave the file of the old number, and put a small catalogue as \
         it is written now into a file of the new number. Written now: {written:#?}"
    );
}
