//! The plan that the structure of a file has, whatever its format; and several of them as one.

use super::{Part, Sketch, apart_from, read_list, read_markdown};
use crate::diag::Error;

/// Reads a plan from a file's text, by the ending of its name. `tag` chooses a list of claude-task-master's
/// `tasks.json`; with `in_order` what follows in a Markdown file requires what stands before.
pub fn sketch_of(file: &str, text: &str, tag: Option<&str>, in_order: bool) -> Result<Sketch, Error> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
    if tag.is_some() && extension != "json" {
        return Err(Error::invalid("--tag is for claude-task-master's tasks.json"));
    }
    let sketch = match extension.as_str() {
        "json" | "yaml" | "yml" | "toml" => {
            read_list(file, text, tag).map_err(|message| Error::invalid(format!("`{file}`: {message}")))?
        }
        "md" | "markdown" | "txt" | "" => read_markdown(file, text, in_order),
        other => {
            return Err(Error::invalid(format!("`{file}`: nothing is known of `.{other}`"))
                .help("a plan is read from .md, .txt, .json, .yaml and .toml"));
        }
    };
    match sketch.is_empty() {
        true => Err(Error::invalid(format!("`{file}` holds no task"))
            .help("a plan has headings, lists, boxes to tick, or a list of tasks")),
        false => Ok(sketch),
    }
}

/// Several sketches as the big tasks of one.
pub fn joined(title: &str, sketches: Vec<Sketch>) -> Sketch {
    let mut whole = Sketch { title: title.to_owned(), ..Sketch::default() };
    for (at, sketch) in sketches.into_iter().enumerate() {
        whole.left.extend(sketch.left);
        let prompt = if sketch.intro.is_empty() { sketch.title.clone() } else { sketch.intro };
        whole.parts.push(Part {
            key: format!("file {at}"),
            title: sketch.title,
            prompt,
            parts: apart_from(sketch.parts, &format!("{at}:")),
            ..Part::default()
        });
    }
    whole
}
