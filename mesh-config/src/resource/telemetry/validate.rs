//! Rules of `Telemetry`.

use kube_cel::cel::Program;

use super::{AccessLogging, MetricsOverride, TagOperation, Telemetry, Tracing};
use crate::{
    resource::{Object, attachment::attachment},
    schema::{AGE, Crd},
    validate::{
        Checks, Validate,
        rules::{key, shown},
    },
};

impl Validate for Telemetry {
    const CRD: Option<Crd> = Some(Crd::of::<Self>().storage("v1alpha1").short_names(&["telemetry"]).columns(&[AGE]));

    fn validate(object: &Object<Self>, checks: &mut Checks) {
        let spec = &object.spec;
        attachment(spec.selector.as_ref(), spec.target_ref.as_ref(), &spec.target_refs, checks);
        if spec.tracing.len() > 1 {
            checks.field("tracing[1]", |checks| {
                checks.warning(None, "multiple tracing is not currently supported", "keep one: only the first has effect");
            });
        }
        checks.each("tracing", &spec.tracing, |checks, item| tracing(item, checks));
        checks.each("metrics", &spec.metrics, |checks, metrics| {
            checks.each("overrides", &metrics.overrides, |checks, item| metrics_override(item, checks));
            checks.duration("reportingInterval", metrics.reporting_interval);
        });
        checks.each("accessLogging", &spec.access_logging, |checks, item| access_logging(item, checks));
    }
}

fn tracing(tracing: &Tracing, checks: &mut Checks) {
    if tracing.providers.len() > 1 {
        checks.field("providers[1]", |checks| {
            checks.warning(None, "multiple providers is not currently supported", "keep one: only the first has effect");
        });
    }
    if tracing.custom_tags.contains_key("") {
        checks.field("customTags", |checks| checks.error(None, "a tag without a name", "name it"));
    }
}

fn metrics_override(item: &MetricsOverride, checks: &mut Checks) {
    for (name, tag) in &item.tag_overrides {
        if name.is_empty() {
            checks.field("tagOverrides", |checks| checks.warning(None, "a tag without a name has no effect", "name it"));
        }
        checks.field(&format!("tagOverrides{}", key(name)), |checks| match tag.operation {
            // The schema sees this only where the operation is written.
            TagOperation::Upsert if tag.value.is_empty() => {
                checks.error(None, "value must be set when operation is UPSERT", "write a CEL expression, or set operation: REMOVE");
            }
            TagOperation::Upsert => {
                if let Some(reason) = syntax_error(&tag.value) {
                    let rule = format!("not a CEL expression: {reason}");
                    checks.field("value", |checks| {
                        checks.warning(shown(&tag.value), rule, "write an attribute such as `request.host`, or a text in quotes");
                    });
                }
            }
            TagOperation::Remove => {}
        });
    }
}

fn access_logging(logging: &AccessLogging, checks: &mut Checks) {
    let Some(filter) = &logging.filter else { return };
    if let Some(reason) = syntax_error(&filter.expression) {
        checks.field("filter.expression", |checks| {
            let rule = format!("must be a valid CEL expression: {reason}");
            checks.error(shown(&filter.expression), rule, "write a condition such as `response.code >= 400`");
        });
    }
}

/// Why a text is no CEL expression, in one line.
fn syntax_error(expression: &str) -> Option<String> {
    if expression.trim().is_empty() {
        return Some("it is empty".to_owned());
    }
    let error = Program::compile(expression).err()?.to_string();
    // The parser goes on to list every token that it knows.
    let reason = error.lines().next().unwrap_or_default().split(" expecting ").next().unwrap_or_default();
    Some(reason.strip_prefix("ERROR: <input>:").unwrap_or(reason).to_owned())
}
