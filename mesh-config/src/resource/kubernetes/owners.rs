//! What makes pods: Deployments and their kin. Each has a template of the pods it makes; see `PodView`.

use k8s_openapi::api::{
    apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec, StatefulSetSpec},
    batch::v1::{CronJobSpec, JobSpec},
    core::v1::{PodTemplateSpec, ReplicationControllerSpec},
};

use super::wraps;
use crate::{
    resource::Object,
    validate::{Checks, Validate},
};

wraps! {
    /// `apps/v1`: pods that are alike, changed little by little.
    Deployment(DeploymentSpec);
    /// `apps/v1`: pods that are alike.
    ReplicaSet(ReplicaSetSpec);
    /// `apps/v1`: pods with a number and a name.
    StatefulSet(StatefulSetSpec);
    /// `apps/v1`: a pod on every node.
    DaemonSet(DaemonSetSpec);
    /// `v1`: the ancestor of ReplicaSet.
    ReplicationController(ReplicationControllerSpec);
    /// `batch/v1`: pods that run to an end.
    Job(JobSpec);
    /// `batch/v1`: Jobs by the clock.
    CronJob(CronJobSpec);
}

/// The template of a kind, and its rules.
macro_rules! templates {
    ($($kind:ident: |$spec:ident| $template:expr, $selector:expr;)*) => {
        $(
            impl $kind {
                /// The template of the pods.
                pub fn pod_template(&self) -> Option<&PodTemplateSpec> {
                    let $spec = &self.0;
                    $template
                }
            }

            impl Validate for $kind {
                fn validate(object: &Object<Self>, checks: &mut Checks) {
                    let $spec = &object.spec.0;
                    let selector: Option<&std::collections::BTreeMap<String, String>> = $selector;
                    check(object.spec.pod_template(), selector, checks);
                }
            }
        )*
    };
}

templates! {
    Deployment: |spec| Some(&spec.template), spec.selector.match_labels.as_ref();
    ReplicaSet: |spec| spec.template.as_ref(), spec.selector.match_labels.as_ref();
    StatefulSet: |spec| Some(&spec.template), spec.selector.match_labels.as_ref();
    DaemonSet: |spec| Some(&spec.template), spec.selector.match_labels.as_ref();
    ReplicationController: |spec| spec.template.as_ref(), spec.selector.as_ref();
    Job: |spec| Some(&spec.template), no_selector(spec);
    CronJob: |spec| spec.job_template.spec.as_ref().map(|job| &job.template), no_selector(spec);
}

/// A Job's selector is made by the API server.
fn no_selector<T>(_: &T) -> Option<&std::collections::BTreeMap<String, String>> {
    None
}

/// The pods that are made are the pods that are counted.
fn check(template: Option<&PodTemplateSpec>, selector: Option<&std::collections::BTreeMap<String, String>>, checks: &mut Checks) {
    let (Some(template), Some(selector)) = (template, selector) else { return };
    let labels = template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let missing = selector.iter().find(|(key, value)| labels.and_then(|labels| labels.get(*key)) != Some(*value));
    if let Some((key, value)) = missing {
        checks.field("template.metadata.labels", |checks| {
            checks.error(Some(format!("{key}={value}")), "the selector does not match the template's labels", "give both the same labels");
        });
    }
}
