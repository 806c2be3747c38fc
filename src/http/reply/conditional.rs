//! `If-None-Match` (RFC 9110, section 13.1.2): whether the client has the answer.

use actix_web::http::header::{HeaderMap, IF_NONE_MATCH};

/// Whether the header has this tag, a strong one with its quotes, or `*`. Weak forms count, several lines are one list,
/// and anything after a syntax error is ignored.
pub fn is_held(headers: &HeaderMap, etag: &[u8]) -> bool {
    headers.get_all(IF_NONE_MATCH).any(|line| names(line.as_bytes(), etag))
}

fn names(list: &[u8], etag: &[u8]) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    while let Some(start) = rest.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t')) {
        rest = &rest[start..];
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        // A tag may contain commas, so it ends at the next quote.
        let Some(length) = rest.strip_prefix(b"\"").and_then(|tag| tag.iter().position(|byte| *byte == b'"'))
        else {
            return false;
        };
        let (tag, after) = rest.split_at(length + 2);
        if tag == etag {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_weak_forms_and_the_star_are_understood() {
        for (list, held) in [
            (r#""a""#, true),
            (r#"W/"a""#, true),
            ("*", true),
            (" * ", true),
            (r#""b", "a""#, true),
            (r#""b",W/"a" ,"c""#, true),
            (r#","x,y", , "a""#, true),
            (r#""x,"a","y""#, false),
            (r#""b""#, false),
            (r#""aa""#, false),
            ("a", false),
            (r#"w/"a""#, false),
            (r#""a"#, false),
            (r#""b", *"#, false),
            ("", false),
            ("W/", false),
            ("\"", false),
        ] {
            assert_eq!(names(list.as_bytes(), b"\"a\""), held, "{list}");
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_found_wherever_it_stands_and_only_then(
            others in prop::collection::vec("[!#-~]{0,6}", 0..5),
            weak in prop::collection::vec(any::<bool>(), 6),
            at in 0_usize..6,
        ) {
            let others = others.into_iter().filter(|other| other != "tag");
            let mut tags: Vec<_> = others.collect();
            let list = |tags: &[String]| {
                let tags = tags.iter().zip(&weak).map(|(tag, weak)| format!("{}\"{tag}\"", if *weak { "W/" } else { "" }));
                tags.collect::<Vec<_>>().join(", ")
            };
            prop_assert!(!names(list(&tags).as_bytes(), b"\"tag\""));
            tags.insert(at.min(tags.len()), "tag".to_owned());
            prop_assert!(names(list(&tags).as_bytes(), b"\"tag\""));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = names(&bytes, b"\"a\"");
        }
    }
}
