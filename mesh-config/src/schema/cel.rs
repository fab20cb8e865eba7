//! CEL rules (`x-kubernetes-validations`): compiled once, asked for every object, as the API server does.
//!
//! An object is judged as if it were being created: rules over `oldSelf` do not apply. A rule that cannot be evaluated
//! refuses the object.

mod pattern;
mod quick;
mod url;
mod value;

use std::{
    cell::OnceCell,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

use kube_cel::{
    KubeCelExt as _,
    cel::{Context, ExecutionError, Program, Value as Cel},
};
use serde::Deserialize;
use serde_json::Value;

use super::tree::Node;

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    rule: String,
    message: Option<String>,
    message_expression: Option<String>,
    field_path: Option<String>,
    remedy: Option<String>,
    #[serde(default)]
    optional_old_self: bool,
}

/// A rule, made ready when it is asked for the first time: most of a schema is about fields that most objects do not have.
#[derive(Debug)]
pub(super) struct Rule {
    text: String,
    message: Option<String>,
    message_expression: Option<String>,
    /// Relative to the place of the rule: `.name`.
    pub(super) field_path: Option<String>,
    remedy: Option<String>,
    optional_old_self: bool,
    ready: OnceLock<Arc<Ready>>,
}

/// What a rule's text means. Rules with the same text share it: types stand in several places of a schema.
#[derive(Debug)]
struct Ready {
    program: Option<Program>,
    /// It compares with the object before an update.
    of_updates: bool,
}

/// What was found about a value.
pub(super) enum Verdict {
    /// The rule holds, or does not apply.
    Holds,
    /// It does not; what it says.
    Broken(String),
    /// It could not be asked; what it says, and why.
    Failed(String),
}

impl From<Written> for Rule {
    fn from(written: Written) -> Self {
        Self {
            text: written.rule,
            message: written.message,
            message_expression: written.message_expression,
            field_path: written.field_path,
            remedy: written.remedy,
            optional_old_self: written.optional_old_self,
            ready: OnceLock::new(),
        }
    }
}

impl Ready {
    fn of(text: &str) -> Arc<Self> {
        /// As many as the schemas of the kinds have, which are part of the program.
        static ALL: LazyLock<Mutex<HashMap<String, Arc<Ready>>>> = LazyLock::new(Mutex::default);
        // A map of whole entries stays whole whatever panics beside it.
        if let Some(ready) = ALL.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Arc::clone(ready);
        }
        let program = Program::compile(text).ok();
        let of_updates = program.as_ref().is_some_and(|program| program.references().variables().contains(&"oldSelf"));
        let ready = Arc::new(Self { program, of_updates });
        ALL.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned(), Arc::clone(&ready));
        ready
    }
}

/// A value bound as `self`.
pub(super) struct Scope<'a> {
    node: &'a Node,
    value: &'a Value,
    /// For the interpreter, if it is needed.
    context: OnceCell<Context<'static>>,
}

/// Kubernetes' functions. Those on URLs are ours: see `url`.
static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| {
    let mut context = Context::default().with_all();
    url::register(&mut context);
    pattern::register(&mut context);
    context
});

impl<'a> Scope<'a> {
    /// Binds a value, typed by its schema.
    pub(super) fn new(node: &'a Node, value: &'a Value) -> Self {
        Self { node, value, context: OnceCell::new() }
    }

    fn context(&self) -> &Context<'static> {
        self.context.get_or_init(|| {
            let mut context = FUNCTIONS.new_inner_scope();
            context.add_variable_from_value("self", value::typed(self.node, self.value));
            context
        })
    }
}

impl Rule {
    /// Asks the rule about the value in scope.
    pub(super) fn ask(&self, scope: &Scope<'_>) -> Verdict {
        let ready = self.ready.get_or_init(|| Ready::of(&self.text));
        if ready.of_updates && !self.optional_old_self {
            return Verdict::Holds;
        }
        let Some(program) = &ready.program else { return self.failed("it is no CEL") };
        let quick = quick::holds(program.expression(), scope.node, scope.value);
        #[cfg(test)]
        if let Some(quick) = quick {
            assert_eq!(program.execute(scope.context()), Ok(Cel::Bool(quick)), "{} of {}", self.text, scope.value);
        }
        match quick.map_or_else(|| program.execute(scope.context()), |quick| Ok(Cel::Bool(quick))) {
            Ok(Cel::Bool(true)) => Verdict::Holds,
            Ok(Cel::Bool(false)) => Verdict::Broken(self.message(scope)),
            Ok(other) => self.failed(&format!("it gives a {}", other.type_of())),
            Err(ExecutionError::FunctionError { function, message }) if matches!(function.as_str(), "int" | "uint" | "double") => {
                self.failed(&format!("type conversion error from a text to {function}: {message}"))
            }
            Err(error) => self.failed(&error.to_string()),
        }
    }

    /// How to mend what breaks it; the rule itself if it does not say.
    pub(super) fn remedy(&self) -> String {
        self.remedy.clone().unwrap_or_else(|| format!("what must hold is `{}`", self.text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    fn failed(&self, why: &str) -> Verdict {
        Verdict::Failed(format!("{} ({why})", self.fixed_message()))
    }

    /// Whether its expressions are CEL.
    #[cfg(test)]
    pub(super) fn is_one(&self) -> bool {
        std::iter::once(&self.text).chain(&self.message_expression).all(|text| Ready::of(text).program.is_some())
    }

    /// The rule's own text.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn message(&self, scope: &Scope<'_>) -> String {
        if let Some(ready) = self.message_expression.as_deref().map(Ready::of)
            && let Some(Ok(Cel::String(text))) = ready.program.as_ref().map(|program| program.execute(scope.context()))
            && !text.trim().is_empty()
        {
            return text.trim().to_owned();
        }
        self.fixed_message()
    }

    fn fixed_message(&self) -> String {
        self.message.clone().unwrap_or_else(|| format!("failed rule: {}", self.text.trim()))
    }
}
