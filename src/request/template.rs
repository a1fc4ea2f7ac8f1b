//! The request's templates: built in, or the project's own `templates/system.txt` and `task.txt`.

use minijinja::{Environment, context};

use crate::context::{FUEL, Form, Item, Trouble, explain};
use crate::digest::{Digest, Framer};
use crate::spec::{ItemRef, Subject, Tier, Vars};

/// The built-in system message.
const SYSTEM: &str = include_str!("../../templates/system.txt");
/// The built-in task message.
const TASK: &str = include_str!("../../templates/task.txt");

/// The two templates of a request.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    digest: Digest,
}

impl Templates {
    /// Compiles the templates; `None` is the built-in one. The error names the file and its line.
    ///
    /// `vars` are the names that a task may bring, with some value each.
    pub fn new(system: Option<String>, task: Option<String>, vars: &Vars) -> Result<Self, Trouble> {
        let system = system.unwrap_or_else(|| SYSTEM.to_owned());
        let task = task.unwrap_or_else(|| TASK.to_owned());
        let mut digest = Framer::new("meu templates v1");
        digest.field(&system).field(&task);
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        // Then errors say which name is wrong; it takes time.
        environment.set_debug(true);
        for (name, source) in [("system.txt", system), ("task.txt", task)] {
            environment.add_template_owned(name, source).map_err(|error| {
                let line = error.line().unwrap_or(1);
                Trouble::new(
                    format!(
                        "templates/{name}:{line} cannot be read: {}",
                        error.detail().unwrap_or("a wrong template")
                    ),
                    "mend it, or delete it to use the built-in one",
                )
            })?;
        }
        let mut templates = Templates { environment, digest: digest.finish() };
        // A wrong name is told now, not in the middle of a run.
        let sample =
            Scope { project: "", title: "", prompt: "", revisions: &[], items: &[sample_item()], vars };
        templates.render(&sample)?;
        templates.environment.set_debug(false);
        Ok(templates)
    }

    /// The digest of both texts, not of their names.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Renders the system and the task message.
    pub(super) fn render(&self, scope: &Scope<'_>) -> Result<(String, String), Trouble> {
        let items: Vec<minijinja::Value> = scope
            .items
            .iter()
            .map(|item| {
                context! {
                    ref => item.item.to_string(),
                    tier => item.tier.word(),
                    form => item.form.word(),
                    block => &item.block,
                }
            })
            .collect();
        let values = context! {
            project => context! { name => scope.project },
            title => scope.title,
            prompt => scope.prompt,
            revisions => scope.revisions.to_vec(),
            context => scope.items.iter().map(|item| item.block.as_str()).collect::<String>(),
            items => items,
            vars => minijinja::value::Serde(scope.vars),
        };
        let one = |name: &str| {
            let template = self.environment.get_template(name);
            template
                .and_then(|template| template.render(&values))
                .map(|text| format!("{}\n", text.trim()))
                .map_err(|error| {
                    let line = error.line().unwrap_or(1);
                    Trouble::new(
                        format!("templates/{name}:{line} cannot be rendered: {}", explain(&error)),
                        "in scope are project, title, prompt, revisions, context, items, vars",
                    )
                })
        };
        Ok((one("system.txt")?, one("task.txt")?))
    }
}

/// An item for the trial, so that what templates say of items is tried too.
fn sample_item() -> Item {
    Item {
        item: ItemRef::whole(Subject::Index),
        tier: Tier::Index,
        form: Form::Full,
        pinned: false,
        tokens: 0,
        tokens_full: 0,
        format: crate::text::Format::Markdown,
        text: String::new(),
        block: String::new(),
    }
}

/// What the templates see.
pub(super) struct Scope<'a> {
    pub project: &'a str,
    pub title: &'a str,
    pub prompt: &'a str,
    pub revisions: &'a [String],
    pub items: &'a [Item],
    pub vars: &'a Vars,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_template_is_named_with_its_line() {
        let error = Templates::new(None, Some("ok\n{% if %}".into()), &Vars::new()).err();
        assert!(
            error.is_some_and(|error| error.message.starts_with("templates/task.txt:2 cannot be read: "))
        );
    }

    #[test]
    fn the_built_in_templates_render_with_and_without_context() -> Result<(), Trouble> {
        let templates = Templates::new(None, None, &Vars::new())?;
        let scope = Scope {
            project: "p",
            title: "Survey",
            prompt: "Compare.",
            revisions: &["shorter".into()],
            items: &[],
            vars: &Default::default(),
        };
        let (_, task) = templates.render(&scope)?;
        assert_eq!(
            task,
            "# Task: Survey\n\nCompare.\n\nRevisions that a person asked for, oldest first; follow all of them:\n\n- shorter\n"
        );
        Ok(())
    }
}
