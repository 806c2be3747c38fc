//! Prints the counters of a server's cache as aligned text.

use serde_json::Value;

/// Keys that come first, in this order. Others follow by name.
const ORDER: [&str; 24] = [
    "status",
    "state",
    "reason",
    "remedy",
    "reads",
    "writes",
    "deletes",
    "memory",
    "kv",
    "stale",
    "origin",
    "error",
    "loads",
    "load_failures",
    "validations",
    "entries",
    "bytes",
    "calls",
    "failures",
    "hits",
    "misses",
    "rejected",
    "queued",
    "skipped",
];

/// Names and values.
type Rows = Vec<(String, String)>;

/// Formats the object `cache` of health. Leaves out what is missing.
pub(super) fn of_cache(cache: &Value) -> String {
    let detail = &cache["detail"];
    let memory = [
        ("hits", &cache["cache_hits"]),
        ("misses", &cache["cache_misses"]),
        ("ratio", &cache["hit_ratio"]),
        ("memory", &detail["memory"]),
    ];
    let mut sections = vec![("cache".to_owned(), rows(&memory))];
    for (name, family) in detail["families"].as_object().into_iter().flatten() {
        sections.push((format!("family {name}"), rows(&[("", family)])));
    }
    let kv = [("status", &cache["cloudflare_kv"]), ("", &detail["kv"])];
    sections.push(("cloudflare kv".to_owned(), rows(&kv)));
    sections.push(("listener".to_owned(), rows(&[("", &detail["listener"])])));
    sections.retain(|(_, rows)| !rows.is_empty());

    let names = sections.iter().flat_map(|(_, rows)| rows).map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or_default();
    let lines = sections.into_iter().flat_map(|(title, rows)| {
        let rows = rows.into_iter().map(move |(name, value)| format!("  {name:width$}  {value}"));
        std::iter::once(title).chain(rows)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn rows(values: &[(&str, &Value)]) -> Rows {
    let mut rows = Rows::new();
    for (name, value) in values {
        add(name, value, &mut rows);
    }
    rows
}

/// Adds a value under a name. Adds the fields of an object under both names.
fn add(name: &str, value: &Value, rows: &mut Rows) {
    let text = match value {
        Value::Null | Value::Array(_) => return,
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => match (&value["used"], &value["limit"]) {
            (used, Value::Number(limit)) => {
                let used = used.as_u64().map_or_else(|| "unknown".to_owned(), |used| used.to_string());
                let resets_at = value["resets_at"].as_str().map(|time| format!(", resets at {time}"));
                format!("{used} of {limit}{}", resets_at.unwrap_or_default())
            }
            _ => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| {
                    ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len())
                });
                for (key, value) in fields {
                    add(format!("{name} {}", key.replace('_', " ")).trim_start(), value, rows);
                }
                return;
            }
        },
    };
    rows.push((name.to_owned(), text));
}
