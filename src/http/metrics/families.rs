//! Writes metric families as `OpenMetrics` text.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::histogram::{BOUNDS, Durations};

/// Labels of one value.
pub(super) type Labels<'v, const N: usize> = [(&'static str, &'v str); N];

/// Writes families. A family without values still gets its name and help.
pub(super) struct Families<'a>(pub DescriptorEncoder<'a>);

impl Families<'_> {
    /// Writes counters; the encoder appends `_total` to the name.
    pub fn counters<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'v, N>, u64)>,
    ) -> fmt::Result {
        let values = values.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.write(name, help, MetricType::Counter, values)
    }

    /// Writes gauges.
    pub fn gauges<'v, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'v, N>, V)>,
    ) -> fmt::Result {
        let values = values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.write(name, help, MetricType::Gauge, values)
    }

    /// Writes one gauge without labels.
    pub fn gauge<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: Option<V>) -> fmt::Result {
        self.gauges(name, help, value.map(|value| ([], value)))
    }

    /// Writes a counter of seconds without labels.
    pub fn seconds(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let value = value.map(|value| ([], ConstCounter::new(value)));
        self.write::<0>(name, help, MetricType::Counter, value)
    }

    /// Writes a gauge for each state: 1 for the current one, 0 for the others.
    pub fn state(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        all: &'static [&'static str],
        is: Option<&str>,
    ) -> fmt::Result {
        let value = |is| move |state: &&'static str| ([(label, *state)], u64::from(is == *state));
        self.gauges(name, help, is.into_iter().flat_map(|is| all.iter().map(value(is))))
    }

    /// Writes histograms of seconds.
    pub fn histograms<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'v, N>, Durations)>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Histogram, values)
    }

    fn write<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<'v, N>, impl EncodeMetric)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        let mut values = values.into_iter();
        if N == 0 {
            // `encode_family` would write `name{}`.
            return values.next().map_or(Ok(()), |(_, value)| value.encode(family));
        }
        values.try_for_each(|(labels, value)| value.encode(family.encode_family(&labels)?))
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts).collect();
        encoder.encode_histogram::<NoLabelSet>(self.total.as_secs_f64(), self.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
