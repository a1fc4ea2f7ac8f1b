//! Prompts: minijinja templates with `task`, `project` and `vars`, and `text("task:…")` for a
//! declared item's text in place.

use std::sync::{Arc, Mutex, OnceLock};

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use crate::diag::{Diagnostic, Sink, did_you_mean};
use crate::graph::{Graph, Ix, Node, outline};
use crate::spec::{At, IndexPick, ItemRef, Runner, Subject};
use crate::text::{Format, addresses, portion};

use super::{Candidate, Gathered, Shelf, Source, Trouble};

/// A rendered prompt.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// The prompt as it is sent.
    pub text: String,
    /// The prompt with the reference of each item in place of its text: what the prompt itself says.
    pub own: String,
    /// The items taken in place, each once, with their texts.
    pub in_place: Vec<(Candidate, String)>,
}

type Lookup = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// An environment in which a misspelt variable is an error and text is not escaped.
///
/// One for all prompts: making it costs more than rendering one.
fn environment() -> &'static Environment<'static> {
    static SHARED: OnceLock<Environment<'static>> = OnceLock::new();
    SHARED.get_or_init(new_environment)
}

fn new_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_recursion_limit(64);
    // In no build before there is an error.
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment
}

/// Steps that rendering a prompt, or a template of requests, may take: far more than any needs, and an end to endless
/// loops.
pub const FUEL: u64 = 1_000_000;

/// The longest expression of a prompt, in bytes; the template engine reads expressions by recursion.
const LONGEST_EXPRESSION: usize = 4000;

fn check_expressions(template: &str) -> Result<(), Error> {
    for (open, close) in [("{{", "}}"), ("{%", "%}")] {
        let mut rest = template;
        while let Some(at) = rest.find(open) {
            rest = &rest[at + open.len()..];
            if rest.find(close).unwrap_or(rest.len()) > LONGEST_EXPRESSION {
                return Err(Error::new(ErrorKind::SyntaxError, "an expression is too long"));
            }
        }
    }
    Ok(())
}

fn render(graph: &Graph, ix: Ix, lookup: Arc<Lookup>) -> Result<String, Error> {
    let node = graph.node(ix);
    let Some(prompt) = &node.task.prompt else { return Ok(String::new()) };
    if !["{{", "{%", "{#"].iter().any(|mark| prompt.value.contains(mark)) {
        return Ok(prompt.value.clone());
    }
    check_expressions(&prompt.value)?;
    let text = Value::from_function(move |name: &str| {
        lookup(name).map_err(|message| Error::new(ErrorKind::InvalidOperation, message))
    });
    let outline = match node.task.root && prompt.value.contains("outline") {
        true => Value::from(outline_text(graph)),
        // Not there at all, so that asking for it is an error.
        false => Value::UNDEFINED,
    };
    let scope = context! {
        task => context! {
            id => node.id(),
            title => &node.task.title,
            plan => node.plan(),
            tags => node.task.tags.clone(),
            priority => node.task.priority,
        },
        project => context! { name => &graph.config.name },
        vars => minijinja::value::Serde(&*node.vars),
        text => text,
        outline => outline,
    };
    environment().render_named_str("prompt", &prompt.value, &scope).or_else(|error| {
        if error.kind() != ErrorKind::UndefinedError {
            return Err(error);
        }
        // Which name that is takes time to tell.
        let mut telling = new_environment();
        telling.set_debug(true);
        telling.render_named_str("prompt", &prompt.value, &scope)
    })
}

fn outline_text(graph: &Graph) -> String {
    let lines =
        outline(graph).into_iter().map(|entry| format!("{}- {}\n", "  ".repeat(entry.depth), entry.title));
    lines.collect()
}

/// Renders a task's prompt; texts come from the shelf.
pub fn render_prompt(
    graph: &Graph,
    ix: Ix,
    gathered: &Gathered,
    shelf: &dyn Shelf,
) -> Result<Prompt, Trouble> {
    let node = graph.node(ix);
    let (own, names) = names_in(graph, ix).map_err(|error| {
        Trouble::new(format!("the prompt cannot be rendered: {}", explain(&error)), "mend the prompt")
    })?;
    if names.is_empty() {
        return Ok(Prompt { text: own.clone(), own, in_place: Vec::new() });
    }
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut in_place: Vec<(Candidate, String)> = Vec::new();
    for name in names {
        if texts.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let candidate = declared(graph, ix, &name, gathered)?;
        let text = read(&candidate, graph, shelf)?;
        if !in_place.iter().any(|(known, _)| known.item == candidate.item) {
            in_place.push((candidate, text.clone()));
        }
        // A template's output is its author's; in a request no text may look like a fence.
        let text = if node.task.run == Runner::Template { text } else { super::safe(&text) };
        texts.push((name, text));
    }
    let text = render(
        graph,
        ix,
        Arc::new(move |name| {
            let found = texts.iter().find(|(known, _)| known == name);
            found
                .map(|(_, text)| text.clone())
                .ok_or_else(|| format!("`{name}` depends on another item's text"))
        }),
    )
    .map_err(|error| {
        Trouble::new(format!("the prompt cannot be rendered: {}", explain(&error)), "mend the prompt")
    })?;
    Ok(Prompt { text, own, in_place })
}

/// The prompt with names in place of texts, and the names. What a prompt asks for may not depend on a
/// text's content.
fn names_in(graph: &Graph, ix: Ix) -> Result<(String, Vec<String>), Error> {
    let task = &graph.node(ix).task;
    // An assembly joins outputs; its prompt is for cards, which show it as it is written.
    if let Some(prompt) = task.prompt.as_ref().filter(|_| task.run == Runner::Assemble) {
        return Ok((prompt.value.clone(), Vec::new()));
    }
    let wanted: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = wanted.clone();
    let note = move |name: &str| {
        lock(&asked).push(name.to_owned());
        Ok(format!("[{name}]"))
    };
    let own = render(graph, ix, Arc::new(note))?;
    let names = std::mem::take(&mut *lock(&wanted));
    Ok((own, names))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The declared item that a name in `text(…)` means; a section of a declared whole is declared too.
fn declared(graph: &Graph, ix: Ix, name: &str, gathered: &Gathered) -> Result<Candidate, Trouble> {
    let parsed = ItemRef::parse(name).map_err(|message| Trouble::new(message, "write text(\"task:…\")"))?;
    let meanings: Vec<Subject> = match &parsed.subject {
        Subject::Task(name) => {
            graph.meanings(ix, name).map(|ix| Subject::Task(graph.node(ix).id().to_owned())).collect()
        }
        other => vec![other.clone()],
    };
    for subject in meanings {
        let meaning = ItemRef { subject, heading: parsed.heading.clone() };
        if let Some(found) = gathered.declared.iter().find(|known| known.item.covers(&meaning)) {
            return Ok(Candidate { item: meaning, ..found.clone() });
        }
    }
    let known: Vec<String> = gathered.declared.iter().map(|known| known.item.to_string()).collect();
    let help = did_you_mean(name, known.iter().map(String::as_str))
        .unwrap_or_else(|| "add it to `requires`, `refers` or `inputs`".into());
    let id = graph.node(ix).id();
    Err(Trouble::new(format!("the prompt of `{id}` takes `{name}`, which the task does not declare"), help))
}

/// The text of a candidate, or of its section.
pub(super) fn read(candidate: &Candidate, graph: &Graph, shelf: &dyn Shelf) -> Result<String, Trouble> {
    let (path, output_of) = match &candidate.source {
        Source::Card(ix) => return Ok(super::card(graph, *ix)),
        Source::File { path, output_of, .. } => (path, output_of),
    };
    let text = shelf
        .text(path)
        .map_err(|error| Trouble::new(format!("`{path}` cannot be read: {error}"), "mend or remove it"))?
        .ok_or_else(|| match output_of {
            Some(other) => {
                let id = graph.node(*other).id();
                Trouble::new(format!("`task:{id}` was never built"), format!("run `meu run {id}` first"))
            }
            None => Trouble::new(format!("no document `{path}`"), "put it there, or take it out of the task"),
        })?;
    let heading = candidate.item.heading.as_deref();
    let found = portion(path.as_str(), &text, heading).map(std::borrow::Cow::into_owned);
    found.ok_or_else(|| no_heading(path.as_str(), heading.unwrap_or_default(), &text))
}

/// A heading that is not there, with near ones.
pub fn no_heading(path: &str, heading: &str, text: &str) -> Trouble {
    let known = addresses(path, text);
    let help = did_you_mean(heading, known.iter().map(String::as_str)).unwrap_or_else(|| match known.len() {
        0 => "it has no sections".into(),
        _ => {
            let few: Vec<String> = known.iter().take(8).map(|known| format!("`{known}`")).collect();
            let more = if known.len() > 8 { ", …" } else { "" };
            format!("it has {}{more}", few.join(", "))
        }
    });
    let what = match Format::of(path) {
        Format::Markdown | Format::AsciiDoc | Format::ReStructuredText => "heading",
        _ => "section",
    };
    Trouble::new(format!("`{path}` has no {what} `{heading}`"), help)
}

/// Checks the prompts and documents that tasks name literally, before anything runs.
pub fn check_prompts(graph: &Graph, shelf: &dyn Shelf, sink: &Sink) {
    let looked_at = |ix, node: &Node| node.duplicate_of.is_none() && !graph.is_edge(ix);
    for (ix, node) in graph.nodes().filter(|(ix, node)| looked_at(*ix, node)) {
        if let Some(prompt) = node.task.prompt.as_ref().filter(|prompt| prompt.value.contains('{')) {
            check_prompt(graph, ix, prompt, shelf, sink);
        }
        for input in node.documents().filter(|input| input.literal) {
            let problem = match shelf.digest(&input.path) {
                Err(error) => {
                    Some(Trouble { message: format!("`{}` cannot be read: {error}", input.path), help: None })
                }
                Ok(None) => Some(Trouble::new(
                    format!("no document `{}`", input.path),
                    "paths start at the project's folder",
                )),
                // A text is read only where it matters.
                Ok(Some(_)) => input.heading.as_ref().and_then(|heading| {
                    let text = shelf.text(&input.path).ok()??;
                    let missing = portion(input.path.as_str(), &text, Some(heading)).is_none();
                    missing.then(|| no_heading(input.path.as_str(), heading, &text))
                }),
            };
            if let Some(problem) = problem {
                sink.push(Diagnostic::error(problem.message).at(input.at.place()).maybe_help(problem.help));
            }
        }
        check_index_headings(graph, ix, shelf, sink);
    }
}

fn check_prompt(graph: &Graph, ix: Ix, prompt: &At<String>, shelf: &dyn Shelf, sink: &Sink) {
    let names = match names_in(graph, ix) {
        Ok((_, names)) if names.is_empty() => return,
        Ok((_, names)) => names,
        Err(error) => return sink.push(prompt_problem(prompt, &error)),
    };
    let gathered = super::gather(graph, ix, &[]);
    for name in names {
        let found = declared(graph, ix, &name, &gathered);
        let problem = match &found {
            Err(trouble) => Some(trouble.clone()),
            // A task's output may not be there yet; a document is.
            Ok(candidate) => match &candidate.source {
                Source::File { output_of: None, .. } if candidate.item.subject != Subject::Index => {
                    read(candidate, graph, shelf).err()
                }
                _ => None,
            },
        };
        if let Some(trouble) = problem {
            let written = prompt.source.text.get(prompt.span.clone()).unwrap_or("");
            let quoted = ['"', '\''].iter().find_map(|quote| written.find(&format!("{quote}{name}{quote}")));
            let place = match quoted {
                Some(at) => {
                    prompt.source.place(prompt.span.start + at + 1..prompt.span.start + at + 1 + name.len())
                }
                None => prompt.place(),
            };
            sink.push(Diagnostic::error(trouble.message).at(place).maybe_help(trouble.help));
        }
    }
}

/// Headings of an INDEX.md that a person writes are there now or never.
fn check_index_headings(graph: &Graph, ix: Ix, shelf: &dyn Shelf, sink: &Sink) {
    let node = graph.node(ix);
    let (IndexPick::Headings(wanted), None) = (&node.policy.index, graph.root()) else { return };
    let Ok(Some(text)) = shelf.text(&graph.config.index) else { return };
    for heading in
        wanted.iter().filter(|heading| portion(graph.config.index.as_str(), &text, Some(heading)).is_none())
    {
        let trouble = no_heading(graph.config.index.as_str(), heading, &text);
        let mut problem = Diagnostic::error(trouble.message).maybe_help(trouble.help);
        // What meu.toml says is told once, not for each task.
        problem.place = node.task.policy.index.as_ref().map(|_| node.task.id.place());
        sink.push(problem);
    }
}

/// A template's problem at its line in the task file, or at the whole prompt where lines do not match.
fn prompt_problem(prompt: &At<String>, error: &Error) -> Diagnostic {
    let written = prompt.source.text.get(prompt.span.clone()).unwrap_or("");
    // A plain multi-line text begins after the line end that follows its quotes.
    let begins = ["\"\"\"\n", "'''\n", "\"\"\"\r\n", "'''\r\n"].iter().any(|mark| written.starts_with(mark));
    let place = if begins && !(written.starts_with('"') && written.contains('\\')) {
        let start =
            written.split_inclusive('\n').take(error.line().unwrap_or(1)).map(str::len).sum::<usize>();
        let text = written[start.min(written.len())..].lines().next().unwrap_or("");
        let from = prompt.span.start + start + (text.len() - text.trim_start().len());
        prompt.source.place(from..from + text.trim().len())
    } else {
        prompt.place()
    };
    Diagnostic::error(format!("the prompt cannot be rendered: {}", explain(error)))
        .at(place)
        .help("in scope are `task`, `project`, `vars`, and text(\"task:…\") or text(\"doc:…\")")
}

/// What is wrong with a template, in a few words.
pub fn explain(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}
