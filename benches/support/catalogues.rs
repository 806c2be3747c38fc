//! Catalogues of any size.

#[path = "../../examples/fill_from_models_dev/source.rs"]
mod source;

use chatchonk::clock::Clock;
use chatchonk::domain::model::Model;
use chatchonk::domain::provider::Provider;
use chatchonk::domain::seed::Seed;
use chatchonk::domain::snapshot::{LeftOut, Snapshot};

/// Names a models.dev `api.json` whose models replace the builtin ones.
const FILE: &str = "MODELS_DEV_JSON";
/// At most this number of copies per provider, since many services offer the same models.
const PROVIDERS: usize = 12;

/// A snapshot of `count` models.
pub fn of(count: usize) -> Snapshot {
    let base = base(count);
    let copies = count.div_ceil(base.models.len());
    let providers =
        (0..copies.min(PROVIDERS)).flat_map(|copy| base.providers.iter().map(move |p| again(p, copy)));
    let models = (0..copies).flat_map(|copy| base.models.iter().map(move |m| variant(m, copy))).take(count);
    let (snapshot, rejected) =
        Snapshot::build(providers.collect(), base.tasks.clone(), models.collect(), LeftOut::default());
    assert_eq!((snapshot.models().len(), rejected), (count, vec![]));
    snapshot
}

/// The models that are multiplied.
#[expect(clippy::disallowed_methods, reason = "of the benchmark, not of the server")]
fn base(count: usize) -> Seed {
    let builtin = Seed::builtin().unwrap();
    match std::env::var(FILE) {
        Ok(path) if count > builtin.models.len() => {
            let text = std::fs::read_to_string(path).unwrap();
            source::seed(&text, Clock::system().utc()).unwrap().0
        }
        _ => builtin,
    }
}

fn again(provider: &Provider, copy: usize) -> Provider {
    Provider { id: numbered(provider.id.as_str(), copy).parse().unwrap(), ..provider.clone() }
}

/// The model at another provider, and in later rounds as another edition of itself.
fn variant(model: &Model, copy: usize) -> Model {
    let (of, edition) = (copy % PROVIDERS, copy / PROVIDERS);
    let provider = numbered(model.provider.as_str(), of);
    let (_, name) = model.id.as_str().split_once('/').unwrap();
    Model {
        id: format!("{provider}/{name}{}", version(edition)).parse().unwrap(),
        provider: provider.parse().unwrap(),
        name: format!("{}{}", model.name, version(edition)),
        ..model.clone()
    }
}

fn numbered(text: &str, number: usize) -> String {
    if number == 0 { text.to_owned() } else { format!("{text}-{number}") }
}

/// Not a bare number, which could make the id equal to another model's.
fn version(edition: usize) -> String {
    if edition == 0 { String::new() } else { format!("-v{edition}") }
}
