//! The graph as JSON, for Mermaid and for Graphviz; states as colours.

use serde_json::json;

use super::{Shell, plain};
use crate::graph::{Graph, Ix};
use crate::plan::{State, Verdict};
use crate::spec::LinkKind;

/// What of a graph is drawn.
#[derive(Debug)]
pub struct Drawing<'a> {
    /// The whole graph.
    pub graph: &'a Graph,
    /// The tasks that are drawn.
    pub tasks: &'a [Ix],
    /// The links between them: from whoever declares it.
    pub links: &'a [(Ix, LinkKind, Ix)],
    /// What each task came to.
    pub verdicts: &'a [Option<Verdict>],
}

impl Drawing<'_> {
    fn state(&self, ix: Ix) -> State {
        self.verdicts[ix.0].as_ref().map_or(State::Missing, |verdict| verdict.state)
    }
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

/// As JSON.
pub fn graph_as_json(shell: &Shell, drawing: &Drawing<'_>) {
    let id = |ix: Ix| drawing.graph.node(ix).id();
    let tasks: Vec<_> = drawing
        .tasks
        .iter()
        .map(|ix| {
            let node = drawing.graph.node(*ix);
            json!({
                "id": node.id(),
                "title": node.task.title,
                "plan": node.plan(),
                "level": node.level,
                "state": drawing.state(*ix),
            })
        })
        .collect();
    let links: Vec<_> = drawing
        .links
        .iter()
        .map(|(from, kind, to)| json!({"from": id(*from), "kind": kind.word(), "to": id(*to)}))
        .collect();
    shell.json(&json!({"tasks": tasks, "links": links}));
}

/// For Mermaid. Arrows go from what is needed to what needs it.
pub fn mermaid(shell: &Shell, drawing: &Drawing<'_>) {
    let mut text = "graph LR\n".to_owned();
    for ix in drawing.tasks {
        let title = &drawing.graph.node(*ix).task.title;
        let title =
            title.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('\n', " ");
        text.push_str(&format!("  t{}[\"{title}\"]:::{}\n", ix.0, drawing.state(*ix).word()));
    }
    for (from, kind, to) in drawing.links {
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
    shell.out(plain(&text).trim_end());
}

/// For Graphviz. Arrows go from what is needed to what needs it.
pub fn dot(shell: &Shell, drawing: &Drawing<'_>) {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
    let mut text = "digraph plan {\n  rankdir=LR;\n  node [shape=box, style=filled];\n".to_owned();
    for ix in drawing.tasks {
        let node = drawing.graph.node(*ix);
        let state = drawing.state(*ix);
        let color = COLORS.iter().find(|(known, _)| *known == state).map_or("#ffffff", |(_, color)| color);
        let (id, title) = (quoted(node.id()), quoted(&node.task.title));
        text.push_str(&format!("  {id} [label={title}, fillcolor=\"{color}\"];\n"));
    }
    for (from, kind, to) in drawing.links {
        let style = match kind {
            LinkKind::Requires => "style=solid",
            LinkKind::Refers => "style=dashed",
            LinkKind::RelatesTo => "style=dotted, dir=none",
            LinkKind::Duplicates => "style=bold, dir=none",
        };
        let (from, to) = (quoted(drawing.graph.node(*from).id()), quoted(drawing.graph.node(*to).id()));
        text.push_str(&format!("  {to} -> {from} [{style}];\n"));
    }
    text.push_str("}\n");
    shell.out(plain(&text).trim_end());
}
