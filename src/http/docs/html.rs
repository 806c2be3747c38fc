//! Building blocks of the pages.

use std::fmt::Write;

/// Escapes text for elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Renders prose: paragraphs, lists with `- `, code in backticks.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::new();
    for part in text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()) {
        // Writing to a String cannot fail.
        let _ = match part.strip_prefix("- ") {
            Some(list) => {
                let rows: Vec<_> = list.split("\n- ").map(words).collect();
                writeln!(html, "<ul><li>{}</li></ul>", rows.join("</li><li>"))
            }
            None => writeln!(html, "<p>{}</p>", words(part)),
        };
    }
    html
}

/// Renders one line of prose.
pub(super) fn words(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.fold(String::new(), |html, (at, part)| match at % 2 {
        0 => html + &escape(part),
        _ => html + "<code>" + &escape(part) + "</code>",
    })
}

/// Renders a table of HTML rows.
pub(super) fn table(heads: [&str; 3], rows: &str) -> String {
    let [first, second, third] = heads;
    format!("<table><tr><th>{first}</th><th>{second}</th><th>{third}</th></tr>\n{rows}</table>\n")
}

/// Renders an example: an HTML request and its answer.
pub(super) fn example(request: &str, answer: &serde_json::Value) -> String {
    let answer = serde_json::to_string_pretty(answer).unwrap_or_default();
    format!("<details><summary>Example</summary>\n{request}<pre>{}</pre></details>\n", escape(&answer))
}

/// Renders a request as a link to the same answer.
pub(super) fn followed(request: &str) -> String {
    let request = escape(request);
    format!("<p><a href=\"{request}\"><code>GET {request}</code></a></p>\n")
}

/// Renders a request that no link can repeat, with its circumstances.
pub(super) fn request_line(line: &str, when: &str) -> String {
    format!("<p>{}</p>\n", words(format!("`{line}` {when}").trim_end()))
}

/// Renders a whole page. `address` is its own.
pub(super) fn page(title: &str, address: &str, navigation: &str, content: &str) -> String {
    let link = |to: &str, text: &str| {
        let current = if to == address { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{to}\"{current}>{text}</a>")
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/api/docs/style.css\">\n</head>\n<body>\n<header><strong>ChatChonk API</strong> \
         {} {} {} {}</header>\n<nav>\n{navigation}</nav>\n<main>\n<h1>{title}</h1>\n{content}</main>\n</body>\n</html>\n",
        link("/", "Status"),
        link("/api/docs", "Reference"),
        link("/api/docs/errors", "Errors"),
        link("/api/openapi.json", "openapi.json"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_a_tag_or_leave_its_attribute() {
        assert_eq!(words("a < b & `\"<script>\"`"), "a &lt; b &amp; <code>&quot;&lt;script&gt;&quot;</code>");
    }

    #[test]
    fn prose_has_paragraphs_and_lists() {
        assert_eq!(prose("One.\n\n- a\n- `b`"), "<p>One.</p>\n<ul><li>a</li><li><code>b</code></li></ul>\n");
    }
}
