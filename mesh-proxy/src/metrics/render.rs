//! Stats on paper: Envoy's `/stats` as text and JSON, and its Prometheus naming (tags taken out of names into labels).

use std::{collections::BTreeMap, fmt::Write as _};

use regex::Regex;
use serde_json::{Value, json};

use super::series::{BUCKETS, Histogram};

/// One stat.
#[derive(Debug)]
pub struct Stat {
    /// Envoy's dotted name.
    pub name: String,
    /// The name without its tags, dotted.
    pub extracted: String,
    /// Tags that Envoy's default extractors find in the name.
    pub tags: Vec<(&'static str, String)>,
    /// Its value.
    pub value: StatValue,
}

/// A stat's value.
#[derive(Debug)]
pub enum StatValue {
    /// Only rises.
    Counter(u64),
    /// Goes up and down.
    Gauge(u64),
    /// Cumulative counts per bucket, the last of all, and the sum.
    Histogram(Vec<u64>, u64),
    /// `version_text` and the like; not in Prometheus.
    Text(String),
}

/// `/stats?filter=…`: a regular expression searched for in names.
#[derive(Debug, Default)]
pub struct Filter {
    name: Option<Regex>,
    used_only: bool,
}

impl Filter {
    /// Everything passes without an expression.
    ///
    /// # Errors
    /// The expression does not compile, or is too large.
    pub fn new(expression: Option<&str>) -> Result<Self, String> {
        let Some(expression) = expression.filter(|expression| !expression.is_empty()) else { return Ok(Self::default()) };
        let built = regex::RegexBuilder::new(expression).size_limit(1 << 20).build();
        built.map(|regex| Self { name: Some(regex), used_only: false }).map_err(|error| format!("filter: {error}"))
    }

    /// Whether a stat of that name is shown.
    pub fn passes(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|regex| regex.is_match(name))
    }

    /// `?usedonly`: only what was ever counted.
    #[must_use]
    pub fn used_only(mut self, used_only: bool) -> Self {
        self.used_only = used_only;
        self
    }

    fn takes(&self, stat: &Stat) -> bool {
        let used = match &stat.value {
            StatValue::Counter(value) | StatValue::Gauge(value) => *value > 0,
            StatValue::Histogram(counts, _) => counts.last().is_some_and(|count| *count > 0),
            StatValue::Text(_) => true,
        };
        (used || !self.used_only) && self.passes(&stat.name)
    }
}

impl Stat {
    pub(super) fn histogram(name: String, extracted: String, tags: Vec<(&'static str, String)>, histogram: &Histogram) -> Self {
        Self { name, extracted, tags, value: StatValue::Histogram(histogram.cumulative().to_vec(), histogram.sum()) }
    }

    fn count(&self) -> Option<u64> {
        match &self.value {
            StatValue::Counter(value) | StatValue::Gauge(value) => Some(*value),
            StatValue::Histogram(..) | StatValue::Text(_) => None,
        }
    }
}

/// Envoy's `/stats`: `name: value`, sorted, texts first as Envoy has them.
pub fn text(stats: &[Stat], filter: &Filter) -> String {
    let mut out = String::new();
    for stat in chosen(stats, filter) {
        let _ = match &stat.value {
            StatValue::Text(text) => writeln!(out, "{}: \"{text}\"", stat.name),
            StatValue::Counter(value) | StatValue::Gauge(value) => writeln!(out, "{}: {value}", stat.name),
            StatValue::Histogram(cumulative, sum) => {
                let count = cumulative.last().copied().unwrap_or_default();
                match count {
                    0 => writeln!(out, "{}: No recorded values", stat.name),
                    _ => writeln!(out, "{}: count={count} sum={sum}", stat.name),
                }
            }
        };
    }
    out
}

/// Envoy's `/stats?format=json`.
pub fn json(stats: &[Stat], filter: &Filter) -> Value {
    let stats: Vec<Value> = chosen(stats, filter)
        .into_iter()
        .map(|stat| match &stat.value {
            StatValue::Text(text) => json!({"name": stat.name, "value": text}),
            StatValue::Histogram(cumulative, sum) => {
                json!({"name": stat.name, "value": {"count": cumulative.last(), "sum": sum}})
            }
            StatValue::Counter(value) | StatValue::Gauge(value) => json!({"name": stat.name, "value": value}),
        })
        .collect();
    json!({ "stats": stats })
}

/// Envoy's `/stats/prometheus`: `envoy_` and the name without its tags.
pub fn prometheus(stats: &[Stat], filter: &Filter) -> String {
    let mut families: BTreeMap<String, Vec<&Stat>> = BTreeMap::new();
    for stat in chosen(stats, filter) {
        families.entry(prometheus_name(&stat.extracted)).or_default().push(stat);
    }
    let mut out = String::new();
    for (name, stats) in families {
        let kind = match stats.first().map(|stat| &stat.value) {
            Some(StatValue::Counter(_)) => "counter",
            Some(StatValue::Gauge(_)) => "gauge",
            Some(StatValue::Histogram(..)) => "histogram",
            Some(StatValue::Text(_)) | None => continue,
        };
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for stat in stats {
            let labels = labels(stat);
            if let Some(value) = stat.count() {
                let _ = writeln!(out, "{name}{{{labels}}} {value}");
            } else if let StatValue::Histogram(cumulative, sum) = &stat.value {
                buckets(&mut out, &name, &labels, cumulative, *sum);
            }
        }
    }
    out
}

fn buckets(out: &mut String, name: &str, labels: &str, cumulative: &[u64], sum: u64) {
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in BUCKETS.iter().zip(cumulative) {
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
    }
    let count = cumulative.last().copied().unwrap_or_default();
    let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
    let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
}

fn labels(stat: &Stat) -> String {
    let mut out = String::new();
    for (name, value) in &stat.tags {
        if !out.is_empty() {
            out.push(',');
        }
        let _ = write!(out, "{name}=\"");
        escape(value, &mut out);
        out.push('"');
    }
    out
}

/// Label values: backslash, quote and line break are escaped.
pub(super) fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

fn prometheus_name(extracted: &str) -> String {
    let safe = extracted.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    "envoy_".chars().chain(safe).collect()
}

fn chosen<'a>(stats: &'a [Stat], filter: &Filter) -> Vec<&'a Stat> {
    let mut chosen: Vec<&Stat> = stats.iter().filter(|stat| filter.takes(stat)).collect();
    chosen.sort_by(|one, other| {
        let text = |stat: &Stat| !matches!(stat.value, StatValue::Text(_));
        (text(one), &one.name).cmp(&(text(other), &other.name))
    });
    chosen
}
