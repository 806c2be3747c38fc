//! Reads metrics as a scrape does.

use std::collections::{BTreeMap, BTreeSet};

use super::server::{TestServer, client};

/// The values of one scrape, and the families that it names.
#[derive(Debug)]
pub(crate) struct Scrape {
    values: BTreeMap<String, f64>,
    /// The type of each family.
    pub(crate) families: BTreeMap<String, String>,
    helped: BTreeSet<String>,
}

impl Scrape {
    /// Scrapes the server's separate port for metrics.
    pub(crate) async fn of(server: &TestServer) -> Self {
        let url = format!("http://{}/metrics", server.metrics_address());
        let answer = client().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let kind = &answer.headers()["content-type"];
        assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        Self::parse(&answer.text().await.unwrap())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut scrape = Self { values: <_>::default(), families: <_>::default(), helped: <_>::default() };
        let lines = text.strip_suffix("# EOF\n").expect("a complete text").lines();
        for line in lines {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.') && scrape.helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let twice = scrape.families.insert(name.to_owned(), kind.to_owned());
                assert!(twice.is_none() && scrape.helped.contains(name), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let twice = scrape.values.insert(series.to_owned(), value.parse().unwrap());
                assert!(twice.is_none() && !series.contains("{}"), "{line}");
            }
        }
        scrape
    }

    /// Returns the value of the only series with this name and all of these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<_> = self.matching(name, labels).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        *found[0].1
    }

    /// Returns the sum over all series with this name and these labels; 0 if there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    fn matching<'s>(
        &'s self,
        name: &'s str,
        labels: &'s [(&str, &str)],
    ) -> impl Iterator<Item = (&'s String, &'s f64)> {
        self.values.iter().filter(move |(series, _)| {
            let (named, labelled) = series.split_once('{').unwrap_or((series, ""));
            named == name
                && labels.iter().all(|(key, value)| labelled.contains(&format!("{key}=\"{value}\"")))
        })
    }

    /// Returns all series.
    pub(crate) fn series(&self) -> BTreeSet<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// Returns the family of a series with this name.
    pub(crate) fn family_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let suffixes = [
            ("", ""),
            ("_total", "counter"),
            ("_bucket", "histogram"),
            ("_sum", "histogram"),
            ("_count", "histogram"),
        ];
        suffixes.into_iter().find_map(|(suffix, kind)| {
            let family = name.strip_suffix(suffix)?;
            let is = self.families.get(family)?;
            (is == kind || suffix.is_empty() && is == "gauge").then_some(family)
        })
    }
}
