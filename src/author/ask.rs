//! Asking a model for a plan: the question as a request, and the answer as a sketch.

use minijinja::{Environment, context};

use super::{Part, Sketch, read_list};
use crate::context::{Form, fenced};
use crate::model::Schema;
use crate::request::{Message, Request, parameters};
use crate::spec::{ItemRef, ModelSettings, Provider, Runner, Subject, Tier};

/// The JSON Schema of an answer.
pub const SCHEMA: &str = include_str!("../../templates/plan.schema.json");

const TEMPLATE: &str = include_str!("../../templates/plan.txt");

/// A plan takes more words than a page.
const LEAST_OUTPUT: usize = 8000;

/// What a model is asked to plan.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What is wanted.
    pub goal: String,
    /// The title of the big task that is to be taken apart, if it is one.
    pub task: Option<String>,
    /// Material: the name of each document, and its text.
    pub documents: Vec<(String, String)>,
    /// What is there already: a line each, an id first.
    pub known: Vec<String>,
    /// The most tasks side by side.
    pub breadth: usize,
}

/// The request that asks a provider.
pub fn question(question: &Question, model: &ModelSettings, provider: &Provider) -> Result<Request, String> {
    let material: String = question
        .documents
        .iter()
        .map(|(name, text)| {
            let item = ItemRef::whole(Subject::Doc(name.clone()));
            fenced(&item, Tier::Input, Form::Full, text)
        })
        .collect();
    let context = if material.is_empty() { material } else { format!("# Material\n\n{material}\n") };
    let content = Environment::new()
        .render_str(
            TEMPLATE,
            context! {
                context, goal => &question.goal, task => &question.task, known => &question.known,
                schema => SCHEMA.trim_end(), breadth => question.breadth,
            },
        )
        .map_err(|error| error.to_string())?;
    let model =
        ModelSettings { max_output_tokens: model.max_output_tokens.max(LEAST_OUTPUT), ..model.clone() };
    Ok(Request {
        runner: Runner::Model.word(),
        api: Some(provider.api.word()),
        model: provider.model_for(&model.name).to_owned(),
        parameters: parameters(&model, provider),
        messages: vec![Message { role: "user", content }],
        argv: Vec::new(),
        task: None,
    })
}

/// The plan that a model answered with, or all that is wrong with it, a line each.
/// `breadth` is the most tasks side by side, `depth` how deep they may stand in each other.
pub fn read_answer(answer: &str, breadth: usize, depth: usize) -> Result<Sketch, Vec<String>> {
    let answer = unfenced(answer);
    let value: serde_json::Value =
        serde_json::from_str(answer).map_err(|error| vec![format!("it is no JSON: {error}")])?;
    if cfg!(feature = "schema") {
        let schema = Schema::parse(SCHEMA).map_err(|error| vec![error])?;
        let faults = schema.faults(&value);
        if !faults.is_empty() {
            return Err(faults);
        }
    }
    let sketch = read_list("answer.json", answer, None).map_err(|error| vec![error])?;
    let mut faults = Vec::new();
    too_broad("the plan", &sketch.parts, breadth, &mut faults);
    let deep = depth_of(&sketch.parts);
    if deep > depth {
        faults.push(format!(
            "tasks stand in tasks {deep} deep, and {depth} is the most; set \"executable\" to false instead"
        ));
    }
    if faults.is_empty() { Ok(sketch) } else { Err(faults) }
}

fn too_broad(whose: &str, parts: &[Part], breadth: usize, faults: &mut Vec<String>) {
    if parts.len() > breadth {
        faults.push(format!("{whose} has {} tasks side by side, and {breadth} are the most", parts.len()));
    }
    parts.iter().for_each(|part| too_broad(&format!("`{}`", part.title), &part.parts, breadth, faults));
}

fn depth_of(parts: &[Part]) -> usize {
    parts.iter().map(|part| 1 + depth_of(&part.parts)).max().unwrap_or(0)
}

/// An answer without the fence that many models put around data.
fn unfenced(answer: &str) -> &str {
    let answer = answer.trim();
    let inner = answer.strip_prefix("```json").or_else(|| answer.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(answer).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_plan_or_a_list_of_faults() {
        let answer = r#"```json
            {"title": "Guide", "root": {"prompt": "Plain words."}, "tasks": [
              {"id": "collect", "title": "Collect", "prompt": "All of it."},
              {"id": "write", "title": "Write", "prompt": "Well.", "requires": ["collect"], "executable": false}]}
            ```"#;
        let sketch = read_answer(answer, 5, 3).expect("a plan");
        assert_eq!((sketch.title.as_str(), sketch.root.as_deref()), ("Guide", Some("Plain words.")));
        assert_eq!(
            (sketch.parts[1].requires.as_slice(), sketch.parts[1].further),
            (&["collect".to_owned()][..], true)
        );
        assert_eq!(
            read_answer(answer, 1, 3).expect_err("too many"),
            ["the plan has 2 tasks side by side, and 1 are the most"]
        );
        assert!(read_answer("Here it is: {}", 5, 3).expect_err("words")[0].starts_with("it is no JSON: "));
    }

    #[cfg(feature = "schema")]
    #[test]
    fn an_answer_with_a_program_does_not_fit() {
        let answer = r#"{"title": "G", "tasks": [{"id": "a", "title": "A", "prompt": "x", "run": ["rm"]}]}"#;
        let faults = read_answer(answer, 5, 3).expect_err("a program");
        assert!(faults[0].contains("'run' was unexpected"), "{faults:?}");
    }
}
