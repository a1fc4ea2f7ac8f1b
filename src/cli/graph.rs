//! `meu graph`

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Done, Env};
use crate::graph::{Graph, Ix};
use crate::plan::{State, Verdict};
use crate::run::Survey;
use crate::show::plain;
use crate::spec::LinkKind;

/// Print the graph of tasks and links
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to write it
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Mermaid,
    Dot,
    Json,
}

pub(super) fn graph(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let graph = &workspace.graph;
    let links = super::link::links(graph);
    let format = if env.shell.json { Format::Json } else { arguments.format };
    match format {
        Format::Json => env.shell.json(&as_json(graph, &links, &verdicts)),
        Format::Mermaid => env.shell.out(plain(&mermaid(graph, &links, &verdicts)).trim_end()),
        Format::Dot => env.shell.out(plain(&dot(graph, &links, &verdicts)).trim_end()),
    }
    Ok(None)
}

fn state(verdicts: &[Option<Verdict>], ix: Ix) -> State {
    verdicts[ix.0].as_ref().map_or(State::Missing, |verdict| verdict.state)
}

fn as_json(graph: &Graph, links: &[(Ix, LinkKind, Ix)], verdicts: &[Option<Verdict>]) -> serde_json::Value {
    let tasks: Vec<_> = graph
        .nodes()
        .map(|(ix, node)| {
            json!({
                "id": node.id(),
                "title": node.task.title,
                "plan": node.plan(),
                "level": node.level,
                "state": state(verdicts, ix),
            })
        })
        .collect();
    let links: Vec<_> = links
        .iter()
        .map(|(from, kind, to)| json!({"from": graph.node(*from).id(), "kind": kind.word(), "to": graph.node(*to).id()}))
        .collect();
    json!({"tasks": tasks, "links": links})
}

/// Arrows go from what is needed to what needs it.
fn mermaid(graph: &Graph, links: &[(Ix, LinkKind, Ix)], verdicts: &[Option<Verdict>]) -> String {
    let mut text = "graph LR\n".to_owned();
    for (ix, node) in graph.nodes() {
        let title = node
            .task
            .title
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('\n', " ");
        text.push_str(&format!("  t{}[\"{title}\"]:::{}\n", ix.0, state(verdicts, ix).word()));
    }
    for (from, kind, to) in links {
        let arrow = match kind {
            LinkKind::Requires => "-->",
            LinkKind::Refers => "-.->",
            LinkKind::RelatesTo => "---",
            LinkKind::Duplicates => "===",
        };
        text.push_str(&format!("  t{} {arrow} t{}\n", to.0, from.0));
    }
    for (state, color) in COLORS {
        text.push_str(&format!("  classDef {} fill:{color}\n", state.word()));
    }
    text
}

const COLORS: [(State, &str); 9] = [
    (State::Fresh, "#d5f5d5"),
    (State::Stale, "#fff3bf"),
    (State::Missing, "#ffe8cc"),
    (State::Edited, "#d0ebff"),
    (State::Awaiting, "#e5dbff"),
    (State::Waiting, "#f1f3f5"),
    (State::Blocked, "#ffc9c9"),
    (State::Failed, "#ff8787"),
    (State::Duplicate, "#ffffff"),
];

fn dot(graph: &Graph, links: &[(Ix, LinkKind, Ix)], verdicts: &[Option<Verdict>]) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
    let mut text = "digraph plan {\n  rankdir=LR;\n  node [shape=box, style=filled];\n".to_owned();
    for (ix, node) in graph.nodes() {
        let state = state(verdicts, ix);
        let color = COLORS.iter().find(|(known, _)| *known == state).map_or("#ffffff", |(_, color)| color);
        let (id, title) = (quoted(node.id()), quoted(&node.task.title));
        text.push_str(&format!("  {id} [label={title}, fillcolor=\"{color}\"];\n"));
    }
    for (from, kind, to) in links {
        let style = match kind {
            LinkKind::Requires => "style=solid",
            LinkKind::Refers => "style=dashed",
            LinkKind::RelatesTo => "style=dotted, dir=none",
            LinkKind::Duplicates => "style=bold, dir=none",
        };
        let (from, to) = (quoted(graph.node(*from).id()), quoted(graph.node(*to).id()));
        text.push_str(&format!("  {to} -> {from} [{style}];\n"));
    }
    text.push_str("}\n");
    text
}
