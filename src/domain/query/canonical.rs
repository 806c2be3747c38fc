//! The canonical text of a query.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use super::ModelQuery;
use super::filter::{Parameter, all_in};
use crate::domain::model::{Kind, ModelStatus};

impl ModelQuery {
    /// Returns the query as text. Equal for equivalent queries, whatever their order, repetitions and explicit
    /// defaults; different for all others.
    ///
    /// Excludes limit, cursor, fields and facets. Two runs over one snapshot differ only if `healthy_only` is set and the
    /// health has changed.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for &parameter in Parameter::ALL {
            // No value contains `&`, `=` or a comma, so none is escaped.
            if let Some(value) = self.value(parameter) {
                // Writing to a String cannot fail.
                let _ = write!(text, "{parameter}={value}&");
            }
        }
        let _ = write!(text, "sort={}", self.order());
        text
    }

    /// Returns the canonical value; `None` if it equals the parameter's absence.
    fn value(&self, parameter: Parameter) -> Option<String> {
        match parameter {
            Parameter::Provider => list(&self.provider),
            Parameter::Capability => list(&self.capability),
            Parameter::InputModality => list(&self.input_modality),
            Parameter::OutputModality => list(&self.output_modality),
            Parameter::Task => list(&self.task),
            Parameter::Kind => list(&self.kind).filter(|_| !all_in(Kind::ALL, &self.kind)),
            Parameter::Status => list(&self.status).filter(|_| {
                self.status.contains(&ModelStatus::Retired)
                    || !ModelStatus::ALL.iter().all(|s| *s == ModelStatus::Retired || self.status.contains(s))
            }),
            Parameter::Ids => list(&self.ids),
            Parameter::MinContext => text(self.min_context),
            Parameter::MaxInputPrice => text(self.max_input_price),
            Parameter::MaxOutputPrice => text(self.max_output_price),
            Parameter::Free => text(self.free),
            Parameter::OpenWeights => text(self.open_weights),
            Parameter::Enabled => text(self.enabled.filter(|enabled| !enabled)),
            Parameter::HealthyOnly => text(self.healthy_only.then_some(true)),
            Parameter::Q => self.q.as_ref().map(|q| q.words().join(" ")),
        }
    }
}

fn text(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// Returns each value once, in order; `None` for none.
fn list<T: Display + Ord>(values: &[T]) -> Option<String> {
    let names: Vec<_> = BTreeSet::from_iter(values).into_iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::any_query;
    use super::*;

    #[test]
    fn explicit_defaults_do_not_change_the_text() {
        let spelled = ModelQuery {
            enabled: Some(true),
            sort: Some("provider".parse().unwrap()),
            status: vec![ModelStatus::Deprecated, ModelStatus::Active, ModelStatus::Preview],
            kind: Kind::ALL.to_vec(),
            ..ModelQuery::default()
        };
        assert_eq!(spelled.canonical(), ModelQuery::default().canonical());
        assert_eq!(spelled.canonical(), "sort=provider");
    }

    #[test]
    fn the_text_includes_values_in_canonical_form() {
        let query = ModelQuery {
            provider: vec!["openai".parse().unwrap(), "mistral".parse().unwrap()],
            max_input_price: Some("1.50".parse().unwrap()),
            status: vec![ModelStatus::Retired],
            enabled: Some(false),
            q: Some("GPT-5  mini".parse().unwrap()),
            ..ModelQuery::default()
        };
        assert_eq!(
            query.canonical(),
            "provider=mistral,openai&status=retired&max_input_price=1.5&enabled=false&q=gpt 5 mini&sort=relevance"
        );
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_change_the_text(query in any_query()) {
            let mut other = query.clone();
            other.provider.reverse();
            other.provider.extend(query.provider.clone());
            other.capability.reverse();
            other.task.extend(query.task.clone());
            other.status.reverse();
            other.ids.extend(query.ids.iter().rev().cloned());
            other.enabled = Some(query.enabled.unwrap_or(true));
            prop_assert_eq!(query.canonical(), other.canonical());
        }

        #[test]
        fn the_text_includes_given_parameters_only(query in any_query()) {
            for &parameter in Parameter::ALL {
                let shown = query.canonical().contains(&format!("{parameter}="));
                prop_assert!(query.is_given(parameter) || !shown);
            }
        }
    }
}
