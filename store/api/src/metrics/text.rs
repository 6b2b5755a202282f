//! Prometheus' text format, version 0.0.4, as its servers read it and etcd writes it.

use std::fmt::{Display, Write};

use super::{Histogram, Snapshot};

/// A page of metrics. Each family is written in one piece: its help, its type, its samples.
#[derive(Default)]
pub struct Text(String);

/// The samples of one family.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Text {
    pub fn counter<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "counter", help)
    }

    pub fn gauge<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "gauge", help)
    }

    pub fn histogram<'a>(&'a mut self, name: &'a str, help: &str) -> Family<'a> {
        self.family(name, "histogram", help)
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn family<'a>(&'a mut self, name: &'a str, kind: &str, help: &str) -> Family<'a> {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text: &mut self.0,
            name,
        }
    }
}

impl Family<'_> {
    /// A sample without labels.
    pub fn value(&mut self, value: impl Display) -> &mut Self {
        self.labelled("", value)
    }

    /// A sample; `labels` is what stands between the braces, values escaped by [`escape`].
    pub fn labelled(&mut self, labels: &str, value: impl Display) -> &mut Self {
        self.sample("", labels, value)
    }

    /// A histogram's samples, under the labels given.
    pub fn buckets(&mut self, labels: &str, histogram: &Histogram) -> &mut Self {
        self.snapshot(labels, &histogram.snapshot())
    }

    /// The samples of a histogram that others keep.
    pub fn snapshot(&mut self, labels: &str, seen: &Snapshot) -> &mut Self {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in &seen.cumulative {
            self.sample("_bucket", &format!("{labels}{comma}le=\"{bound}\""), count);
        }
        self.sample(
            "_bucket",
            &format!("{labels}{comma}le=\"+Inf\""),
            seen.count,
        );
        self.sample("_sum", labels, seen.seconds);
        self.sample("_count", labels, seen.count)
    }

    fn sample(&mut self, suffix: &str, labels: &str, value: impl Display) -> &mut Self {
        let _ = if labels.is_empty() {
            writeln!(self.text, "{}{suffix} {value}", self.name)
        } else {
            writeln!(self.text, "{}{suffix}{{{labels}}} {value}", self.name)
        };
        self
    }
}

/// A label's value with the three characters escaped that the format sets apart.
pub fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_read_as_prometheus_writes_them() {
        let mut text = Text::default();
        text.counter("a_total", "How many.")
            .value(3)
            .labelled("to=\"x\"", 4);
        let histogram = Histogram::exponential(0.5, 2);
        histogram.observe(Duration::from_millis(700));
        text.histogram("b_seconds", "How long.")
            .buckets("", &histogram);
        let expected = "# HELP a_total How many.\n\
            # TYPE a_total counter\n\
            a_total 3\n\
            a_total{to=\"x\"} 4\n\
            # HELP b_seconds How long.\n\
            # TYPE b_seconds histogram\n\
            b_seconds_bucket{le=\"0.5\"} 0\n\
            b_seconds_bucket{le=\"1\"} 1\n\
            b_seconds_bucket{le=\"+Inf\"} 1\n\
            b_seconds_sum 0.7\n\
            b_seconds_count 1\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
