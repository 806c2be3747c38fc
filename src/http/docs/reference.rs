//! The document as a page: operations by group, then types.

use std::fmt::Write;

use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{Components, Schema};
use utoipa::openapi::{OpenApi, RefOr, Response};

use super::html::{escape, example, followed, page, prose, table, words};

/// Path of the types in the document.
const TYPES: &str = "#/components/schemas/";

pub(super) fn page_of(document: &OpenApi) -> String {
    let (mut navigation, mut content) = (String::new(), String::new());
    content += &prose(document.info.description.as_deref().unwrap_or_default());
    let components = document.components.clone().unwrap_or_default();
    for tag in document.tags.iter().flatten() {
        let about = tag.description.as_deref().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = write!(navigation, "<h2>{}</h2>\n<ul>\n", tag.name);
        let _ = writeln!(content, "<h2>{}</h2>\n{}", tag.name, prose(&format!("{about}.")));
        for (path, item) in &document.paths.paths {
            let Some(operation) = &item.get else { continue };
            if operation.tags.iter().flatten().any(|name| *name == tag.name) {
                let id = operation.operation_id.as_deref().unwrap_or_default();
                let _ = writeln!(navigation, "<li><a href=\"#{id}\">{}</a></li>", escape(path));
                content += &section(id, path, operation, &components);
            }
        }
        navigation += "</ul>\n";
    }
    navigation += "<h2>Types</h2>\n<ul>\n";
    content += "<h2>Types</h2>\n";
    for (name, schema) in &components.schemas {
        let _ = writeln!(navigation, "<li><a href=\"#{name}\">{name}</a></li>");
        content += &type_section(name, schema);
    }
    navigation += "</ul>\n";
    page(&format!("ChatChonk API {}", document.info.version), "/api/docs", &navigation, &content)
}

fn section(id: &str, path: &str, operation: &Operation, components: &Components) -> String {
    let mut html = format!("<section id=\"{id}\">\n<h3><code>GET {}</code></h3>\n", escape(path));
    html += &prose(&format!("{}.", operation.summary.as_deref().unwrap_or_default().trim_end_matches('.')));
    html += &prose(operation.description.as_deref().unwrap_or_default());
    let mut rows = String::new();
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            rows += &parameter_row(parameter);
        }
    }
    if !rows.is_empty() {
        html += &table(["Parameter", "Type", "Meaning"], &rows);
    }
    let mut rows = String::new();
    for (status, response) in &operation.responses.responses {
        if let Some(response) = resolved(response, components) {
            rows += &response_row(status, response);
        }
    }
    html += &table(["Status", "Answer", "Headers"], &rows);
    for response in operation.responses.responses.values() {
        if let RefOr::T(response) = response {
            html += &examples(response);
        }
    }
    html + "</section>\n"
}

fn parameter_row(parameter: &Parameter) -> String {
    let place = json!(parameter.parameter_in);
    let schema = parameter.schema.as_ref().map(|schema| json!(schema)).unwrap_or_default();
    format!(
        "<tr><td><code>{}</code> <small>{}</small></td><td>{}</td><td>{}</td></tr>\n",
        parameter.name,
        place.as_str().unwrap_or_default(),
        kind(&schema),
        words(parameter.description.as_deref().unwrap_or_default()),
    )
}

fn resolved<'a>(response: &'a RefOr<Response>, components: &'a Components) -> Option<&'a Response> {
    match response {
        RefOr::T(response) => Some(response),
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next()?;
            components.responses.get(name).and_then(|found| resolved(found, components))
        }
    }
}

fn response_row(status: &str, response: &Response) -> String {
    let kinds = response.content.iter().map(|(media, content)| {
        let schema = json!(content);
        format!("<br><small>{media}</small> {}", kind(&schema["schema"]))
    });
    let headers: Vec<_> = response.headers.keys().map(|name| format!("<code>{name}</code>")).collect();
    format!(
        "<tr><td>{status}</td><td>{}{}</td><td>{}</td></tr>\n",
        words(&response.description),
        kinds.collect::<String>(),
        headers.join(" ")
    )
}

fn examples(response: &Response) -> String {
    let mut html = String::new();
    for content in response.content.values() {
        let RefOr::T(content) = content else { continue };
        for shown in content.examples.values() {
            if let RefOr::T(shown) = shown
                && let Some(value) = &shown.value
            {
                html += &example(&followed(shown.summary.trim_start_matches("GET ")), value);
            }
        }
    }
    html
}

fn type_section(name: &str, schema: &RefOr<Schema>) -> String {
    let whole = json!(schema);
    let mut html = format!("<section id=\"{name}\">\n<h3>{name}</h3>\n");
    html += &prose(whole["description"].as_str().unwrap_or_default());
    let RefOr::T(schema) = schema else { return html + "</section>\n" };
    let objects = match schema {
        Schema::AllOf(all) => all.items.iter().collect(),
        _ => vec![],
    };
    let mut rows = fields(schema);
    for part in objects {
        match part {
            RefOr::T(part) => rows += &fields(part),
            RefOr::Ref(_) => html = html + "<p>With all fields of " + &kind(&json!(part)) + ", and:</p>\n",
        }
    }
    if rows.is_empty() {
        html = html + "<p>" + &kind(&whole) + "</p>\n";
    } else {
        html += &table(["Field", "Type", "Meaning"], &rows);
    }
    html + "</section>\n"
}

/// Renders an object's fields, in the order of the answer.
fn fields(schema: &Schema) -> String {
    let Schema::Object(object) = schema else { return String::new() };
    let row = |(name, schema): (&String, &RefOr<Schema>)| {
        let optional = if object.required.contains(name) { "" } else { " <small>optional</small>" };
        let schema = json!(schema);
        let about = words(schema["description"].as_str().unwrap_or_default());
        format!("<tr><td><code>{name}</code>{optional}</td><td>{}</td><td>{about}</td></tr>\n", kind(&schema))
    };
    object.properties.iter().map(row).collect()
}

/// Describes a type in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(TYPES)) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for key in ["oneOf", "allOf", "anyOf"] {
        if let Some(parts) = schema[key].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<_> =
            names.iter().filter_map(Value::as_str).map(|name| format!("<code>{name}</code>")).collect();
        return names.join(", ");
    }
    let types: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let mut text = types.join(" or ");
    if schema["items"].is_object() {
        text = text.replace("array", &format!("list of {}", kind(&schema["items"])));
    }
    if schema["additionalProperties"].is_object() {
        text = text.replace("object", &format!("map to {}", kind(&schema["additionalProperties"])));
    }
    let bounds = [("minimum", "from"), ("maximum", "to"), ("maxLength", "characters up to")];
    for (key, word) in bounds {
        if let Some(bound) = schema[key].as_number() {
            let _ = write!(text, " {word} {bound}");
        }
    }
    text
}
