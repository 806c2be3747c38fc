//! A second implementation of the documented filters over the API's own JSON: slow, plain, and independent of the
//! server's types.

use serde_json::Value;

/// A parameter with its values.
pub(crate) type Constraint<'a> = (&'a str, &'a [&'a str]);

/// Returns the query string, with each value separate.
pub(crate) fn query_string(constraints: &[Constraint<'_>]) -> String {
    let pairs =
        constraints.iter().flat_map(|(name, values)| values.iter().map(move |v| format!("{name}={v}")));
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the ids of the matching models in alphabetical order. Retired and hidden models must be requested.
pub(crate) fn recount(models: &[Value], constraints: &[Constraint<'_>]) -> Vec<String> {
    let given = |name: &str| constraints.iter().any(|(given, _)| *given == name);
    let listed = |model: &&Value| {
        (given("status") || model["status"] != "retired") && (given("enabled") || model["enabled"] == true)
    };
    let passing = models.iter().filter(listed).filter(|model| constraints.iter().all(|c| passes(model, *c)));
    sorted(passing.map(|model| model["id"].as_str().unwrap().to_owned()).collect())
}

pub(crate) fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn passes(model: &Value, (name, values): Constraint<'_>) -> bool {
    let one_of = |field: &str| values.iter().any(|value| model[field] == *value);
    let all_of = |field: &str| {
        let held = model[field].as_array().unwrap();
        values.iter().all(|value| held.iter().any(|held| held == value))
    };
    let only = values[0];
    match name {
        "provider" | "kind" | "status" => one_of(name),
        "ids" => one_of("id"),
        "capability" => all_of("capabilities"),
        "input_modality" => all_of("input_modalities"),
        "output_modality" => all_of("output_modalities"),
        "task" => all_of("tasks"),
        "min_context" => {
            model["context_length"].as_u64().is_some_and(|tokens| tokens >= only.parse().unwrap())
        }
        "max_input_price" => units(&model["pricing"]["input"]).is_some_and(|p| p <= price(only)),
        "max_output_price" => units(&model["pricing"]["output"]).is_some_and(|p| p <= price(only)),
        "free" => model["is_free"].as_bool() == Some(only == "true"),
        "open_weights" => model["open_weights"].as_bool() == Some(only == "true"),
        "enabled" => model["enabled"].as_bool() == Some(only == "true"),
        // Nothing is probed here, and an unknown status counts as usable.
        "healthy_only" => true,
        _ => panic!("{name} has no recount"),
    }
}

/// Returns a price in units of 0.00000001 USD; `None` if it is unknown.
pub(crate) fn units(value: &Value) -> Option<u128> {
    value.as_str().map(price)
}

fn price(text: &str) -> u128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<8}").parse().unwrap()
}
