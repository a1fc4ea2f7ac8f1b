//! The one walk that makes a request, its parts and the bundle behind it.

use crate::context::{Bundle, Form, Gathered, Shelf, Trouble, assemble, gather, recipe, render_prompt};
use crate::digest::{Digest, Framer};
use crate::graph::{Graph, Ix};
use crate::spec::{ItemRef, ModelSettings, Provider, Runner, extra_text};

use super::template::{Scope, Templates};
use super::{Message, PartItem, Parts, Request, join};

/// What all requests of one project share.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The templates.
    pub templates: &'a Templates,
}

/// A request, its parts, and the bundle behind it.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// What is sent.
    pub request: Request,
    /// Its digest, taken from what is sent.
    pub digest: Digest,
    /// What explains it.
    pub parts: Parts,
    /// The items.
    pub bundle: Bundle,
}

impl Scene<'_> {
    /// The digest of what is expected of a task's output, with the text of its schema.
    pub fn expected(&self, ix: Ix, shelf: &dyn Shelf) -> Result<Option<Digest>, Trouble> {
        let node = self.graph.node(ix);
        let Some(expect) = &node.task.expect else { return Ok(None) };
        let digest = |schema| expect.digest(schema, node.policy.tokenizer);
        let Some(path) = node.schema() else { return Ok(Some(digest(None))) };
        match shelf.digest(path) {
            Ok(Some(text)) => Ok(Some(digest(Some(text)))),
            Ok(None) => {
                Err(Trouble::new(format!("the schema `{path}` is not there"), "write it, or name another"))
            }
            Err(error) => {
                Err(Trouble::new(format!("the schema `{path}` cannot be read: {error}"), "mend it"))
            }
        }
    }

    /// The candidates of a task, and the digest of all that decides its request.
    pub fn recipe(&self, ix: Ix, shelf: &dyn Shelf) -> Option<Digest> {
        let gathered = gather(self.graph, ix, &[]);
        let mut scene = Framer::new("meu scene v1");
        scene.field(self.templates.digest().as_bytes()).field(&self.graph.config.name);
        if self.graph.node(ix).task.root {
            for entry in crate::graph::outline(self.graph) {
                scene.field(entry.depth.to_le_bytes()).field(entry.title);
            }
        }
        recipe(self.graph, ix, &gathered, scene.finish(), shelf).ok()
    }
}

/// Builds the request of a task from what is on the shelf now.
pub fn build(scene: &Scene<'_>, ix: Ix, manual: &[ItemRef], shelf: &dyn Shelf) -> Result<Assembled, Trouble> {
    let graph = scene.graph;
    let node = graph.node(ix);
    let gathered = gather(graph, ix, manual);
    let prompt = render_prompt(graph, ix, &gathered, shelf)?;
    let in_place = |form| -> Vec<PartItem> {
        let taken = prompt.in_place.iter();
        taken.map(|(candidate, text)| part(&candidate.item, candidate.tier.word(), form, text)).collect()
    };
    // No program is told a title.
    let title = if matches!(node.task.run, Runner::Program(_)) { "" } else { &node.task.title };
    let own = own_part(title, &prompt.own, &node.task.revisions);
    let plain = Request {
        runner: node.task.run.word(),
        api: None,
        model: String::new(),
        parameters: Vec::new(),
        messages: Vec::new(),
        argv: Vec::new(),
        task: None,
    };
    let user = |content: String| Message { role: "user", content };

    let (request, bundle, items, template) = match &node.task.run {
        Runner::Template => {
            let messages = vec![user(prompt.text.clone())];
            (Request { messages, ..plain }, Bundle::default(), in_place(Form::Full), None)
        }
        Runner::Assemble => {
            let (text, items) = assembled(graph, ix, shelf)?;
            let messages = vec![user(text)];
            (Request { messages, ..plain }, Bundle::default(), items, None)
        }
        runner => {
            let bundle = assemble(graph, ix, &gathered, &prompt, shelf)?;
            let mut items = in_place(Form::Full);
            items.extend(
                bundle.items.iter().map(|item| part(&item.item, item.tier.word(), item.form, &item.text)),
            );
            if let Runner::Program(argv) = runner {
                let request = Request {
                    messages: vec![user(for_program(&bundle, &prompt.text, &node.task.revisions))],
                    argv: argv.clone(),
                    task: Some(node.id().to_owned()),
                    ..plain
                };
                (request, bundle, items, None)
            } else {
                let (system, task) = scene.templates.render(&Scope {
                    project: &graph.config.name,
                    title: &node.task.title,
                    prompt: &prompt.text,
                    revisions: &node.task.revisions,
                    items: &bundle.items,
                    vars: &node.vars,
                })?;
                let messages = vec![Message { role: "system", content: system }, user(task)];
                let mut request = Request { messages, ..plain };
                if *runner == Runner::Model
                    && let Some(provider) = graph.provider(ix)
                {
                    request.api = Some(provider.api.word());
                    request.model = provider.model_for(&node.model.name).to_owned();
                    request.parameters = parameters(&node.model, provider);
                }
                (request, bundle, items, Some(scene.templates.digest()))
            }
        }
    };
    let parts = Parts {
        prompt: own,
        model: model_part(&request),
        template: template.unwrap_or_else(|| Framer::new("meu no templates v1").finish()),
        items,
    };
    Ok(Assembled { digest: request.digest(), request, parts, bundle })
}

fn part(item: &ItemRef, tier: &str, form: Form, text: &str) -> PartItem {
    PartItem { item: item.to_string(), tier: tier.to_owned(), form, digest: Digest::of(text) }
}

fn own_part(title: &str, prompt: &str, revisions: &[String]) -> Digest {
    let mut framer = Framer::new("meu prompt v1");
    framer.field(title).field(prompt).count(revisions.len());
    for revision in revisions {
        framer.field(revision);
    }
    framer.finish()
}

fn model_part(request: &Request) -> Digest {
    let mut framer = Framer::new("meu model v1");
    framer.field(request.runner).maybe(request.api).field(&request.model);
    for (name, value) in &request.parameters {
        framer.field(name).field(value);
    }
    framer.count(request.argv.len());
    for argument in &request.argv {
        framer.field(argument);
    }
    framer.finish()
}

/// The parameters of a request to a provider, each as it is sent.
pub fn parameters(model: &ModelSettings, provider: &Provider) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("temperature", model.temperature.to_string()),
        ("max_output_tokens", model.max_output_tokens.to_string()),
    ];
    let seed = model.seed.filter(|_| provider.api.has_seed());
    parameters.extend(seed.map(|seed| ("seed", seed.to_string())));
    parameters.extend(extra_text(&provider.extra).map(|extra| ("extra", extra)));
    parameters
}

/// What a program gets on stdin: the items and the prompt, without words for a model.
fn for_program(bundle: &Bundle, prompt: &str, revisions: &[String]) -> String {
    let mut text: String = bundle.items.iter().map(|item| item.block.as_str()).collect();
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(prompt);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for revision in revisions {
        text.push_str(&format!("\nRevision: {revision}\n"));
    }
    text
}

/// The text of an assembling task, and the items that it is made of.
fn assembled(graph: &Graph, ix: Ix, shelf: &dyn Shelf) -> Result<(String, Vec<PartItem>), Trouble> {
    let node = graph.node(ix);
    let mut parts = Vec::new();
    let mut items = Vec::new();
    let Gathered { declared, .. } = gather(graph, ix, &[]);
    for (dep, candidate) in node.requires.iter().zip(&declared) {
        let other = graph.node(dep.task);
        let missing = || {
            let id = other.id();
            Trouble::new(format!("`task:{id}` was never built"), format!("run `meu run {id}` first"))
        };
        let text = shelf
            .text(&other.output)
            .map_err(|error| {
                Trouble::new(format!("`{}` cannot be read: {error}", other.output), "mend or remove it")
            })?
            .ok_or_else(missing)?;
        let (title, text) = match &dep.heading {
            None => (other.task.title.clone(), text.to_string()),
            Some(heading) => match crate::text::portion(other.output.as_str(), &text, Some(heading)) {
                Some(section) => {
                    let title =
                        crate::text::headings(&section).into_iter().next().map(|heading| heading.text);
                    (title.unwrap_or_else(|| heading.clone()), section.into_owned())
                }
                None => {
                    return Err(Trouble::new(
                        format!("`{}` has no heading `{heading}`", other.output),
                        "mend the link, or the task that writes it",
                    ));
                }
            },
        };
        items.push(part(&candidate.item, candidate.tier.word(), Form::Full, &text));
        parts.push((title, text));
    }
    Ok((join::join(&node.task.title, &parts), items))
}
