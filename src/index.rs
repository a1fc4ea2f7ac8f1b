//! Graph to INDEX.md's generated region: the outline of plans and tasks with titles, links to outputs
//! and requires-lists. No times and no states, so that it changes only when the plan does.

use crate::graph::{Graph, outline};
use crate::text::with_region;

/// The region's text, without its markers.
pub fn contents(graph: &Graph) -> String {
    let folder = graph.config.index.folder();
    let mut text = String::from("## Contents\n\n");
    for entry in outline(graph) {
        let indent = "  ".repeat(entry.depth);
        let title = escaped(&entry.title);
        let Some(ix) = entry.task else {
            text.push_str(&format!("{indent}- {title}\n"));
            continue;
        };
        let node = graph.node(ix);
        let mut requires: Vec<&str> = Vec::new();
        for dep in &node.requires {
            let id = graph.node(dep.task).id();
            if !requires.contains(&id) {
                requires.push(id);
            }
        }
        let link = link(folder, node.output.as_str());
        let requires =
            if requires.is_empty() { String::new() } else { format!(" (requires {})", requires.join(", ")) };
        text.push_str(&format!("{indent}- [{title}]({link}){requires}\n"));
    }
    text
}

/// INDEX.md with today's region, if that differs. `Err` is the line of a marker without its partner.
pub fn updated(graph: &Graph, text: &str, clean: &dyn Fn(&str) -> String) -> Result<Option<String>, usize> {
    let new = with_region(text, &clean(&contents(graph)))?;
    Ok((new != text).then_some(new))
}

/// A title that cannot end its link or begin a marker.
fn escaped(title: &str) -> String {
    let title: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace('<', "&lt;")
}

/// A path as a link from the index's folder; spaces and the like in angle brackets' stead.
fn link(folder: &str, path: &str) -> String {
    let mut from: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let mut to: Vec<&str> = path.split('/').collect();
    while !from.is_empty() && from.first() == to.first() && to.len() > 1 {
        from.remove(0);
        to.remove(0);
    }
    let up = "../".repeat(from.len());
    let mut link = String::new();
    for c in format!("{up}{}", to.join("/")).chars() {
        match c {
            ' ' => link.push_str("%20"),
            '(' => link.push_str("%28"),
            ')' => link.push_str("%29"),
            '<' => link.push_str("%3C"),
            '>' => link.push_str("%3E"),
            '%' => link.push_str("%25"),
            c => link.push(c),
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_start_at_the_index() {
        assert_eq!(link("", "out/a b.md"), "out/a%20b.md");
        assert_eq!(link("docs", "docs/x/a.md"), "x/a.md");
        assert_eq!(link("docs/top", "out/a.md"), "../../out/a.md");
    }

    #[test]
    fn a_title_stays_one_link() {
        assert_eq!(escaped("A [b]\n<!-- /meu:contents -->"), "A \\[b\\] &lt;!-- /meu:contents -->");
    }
}
