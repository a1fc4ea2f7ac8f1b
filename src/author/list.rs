//! A plan out of a list of tasks: JSON, YAML or TOML, and the `tasks.json` of claude-task-master.
//!
//! A list is `tasks` (or the whole text), a task an object with a `title`; what else is read of it is in
//! [`task`]. claude-task-master keeps a list for each of its tags, `{"master": {"tasks": […]}}`, numbers as ids,
//! and names subtasks by the number of their task, a dot and their own
//! (<https://github.com/eyaltoledano/claude-task-master>, `docs/task-structure.md`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Part, Sketch};
use crate::spec::toml_data;

/// The keys whose values are a task's own tasks.
const PARTS: [&str; 4] = ["tasks", "subtasks", "parts", "children"];

/// Reads a plan out of a list of tasks; `file` says by its extension how it is written. Of several tags only
/// `tag` is taken, if one is given.
pub fn read_list(file: &str, text: &str, tag: Option<&str>) -> Result<Sketch, String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let value: Value = match extension.to_lowercase().as_str() {
        "yaml" | "yml" => serde_yaml::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?,
        "toml" => toml_data(text).map_err(|error| format!("it is no TOML: {error}"))?,
        _ => serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?,
    };
    let mut sketch = Sketch { title: crate::spec::words_of_id(stem), ..Sketch::default() };
    let mut reader = Reader::default();
    let is_flat = !value.is_object() || PARTS.iter().any(|key| value.get(*key).is_some());
    if let Some(tag) = tag.filter(|_| is_flat) {
        return Err(format!("it has no tags, so none is `{tag}`"));
    }
    match &value {
        Value::Array(_) => sketch.parts = reader.tasks(&value, &Above::default())?,
        Value::Object(top) if PARTS.iter().any(|key| top.contains_key(*key)) => {
            head(top, &mut sketch);
            sketch.parts = reader.parts(top, &Above::default())?;
        }
        Value::Object(top) => {
            let tags: Vec<(&String, &Map<String, Value>)> = top
                .iter()
                .filter_map(|(tag, value)| Some((tag, value.as_object()?)))
                .filter(|(_, list)| list.contains_key("tasks"))
                .collect();
            if tags.is_empty() {
                return Err("it has no list of tasks: `tasks`, or one for each tag".into());
            }
            let chosen: Vec<_> = tags.iter().filter(|(name, _)| tag.is_none_or(|tag| tag == *name)).collect();
            if chosen.is_empty() {
                let known: Vec<&str> = tags.iter().map(|(name, _)| name.as_str()).collect();
                return Err(format!(
                    "it has no tag `{}`, only {}",
                    tag.unwrap_or_default(),
                    known.join(", ")
                ));
            }
            for (name, list) in &chosen {
                let alone = chosen.len() == 1;
                let above =
                    Above { tag: if alone { String::new() } else { format!("{name}/") }, ..Above::default() };
                let mut parts = reader.parts(list, &above)?;
                let description = list.get("metadata").and_then(|metadata| metadata["description"].as_str());
                if alone {
                    sketch.intro = description.unwrap_or_default().to_owned();
                    sketch.parts = parts;
                } else {
                    parts.iter_mut().for_each(|part| add_tag(part, name));
                    let title = crate::spec::words_of_id(name);
                    let prompt = description.map_or_else(|| title.clone(), str::to_owned);
                    sketch.parts.push(Part {
                        key: format!("{name}/"),
                        title,
                        prompt,
                        parts,
                        ..Part::default()
                    });
                }
            }
        }
        _ => return Err("it is no list of tasks".into()),
    }
    sketch.left.extend(reader.left);
    let unknown = reader.unknown.into_iter();
    sketch.left.extend(unknown.map(|(key, times)| {
        let tasks = if times == 1 { "1 task".to_owned() } else { format!("{times} tasks") };
        format!("{file}: the key `{key}` of {tasks} has no counterpart")
    }));
    Ok(sketch)
}

/// What is said of the whole.
fn head(top: &Map<String, Value>, sketch: &mut Sketch) {
    let text = |keys: &[&str]| keys.iter().find_map(|key| top.get(*key)?.as_str()).map(str::to_owned);
    if let Some(title) = text(&["title", "name", "project"]) {
        sketch.title = title;
    }
    sketch.intro = text(&["intro", "description", "goal"]).unwrap_or_default();
    sketch.root = match top.get("root") {
        Some(Value::Object(root)) => root.get("prompt").and_then(Value::as_str).map(str::to_owned),
        Some(Value::String(prompt)) => Some(prompt.clone()),
        _ => None,
    };
}

fn add_tag(part: &mut Part, tag: &str) {
    part.tags.push(tag.to_owned());
    part.parts.iter_mut().for_each(|part| add_tag(part, tag));
}

/// What a list stands below.
#[derive(Clone, Default)]
struct Above {
    /// What comes before every key: the list's tag and a slash, where several are read.
    tag: String,
    /// What comes before numbers to make them keys: the task's own and a dot.
    number: String,
    /// Where it is, for messages.
    path: String,
}

#[derive(Default)]
struct Reader {
    left: Vec<String>,
    /// Keys that say nothing to meu, and how often.
    unknown: BTreeMap<String, usize>,
}

impl Reader {
    /// The tasks below an object.
    fn parts(&mut self, object: &Map<String, Value>, above: &Above) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        for (key, value) in PARTS.iter().filter_map(|key| Some((key, object.get(*key)?))) {
            let path = format!("{}{}{key}", above.path, if above.path.is_empty() { "" } else { "." });
            parts.extend(self.tasks(value, &Above { path, ..above.clone() })?);
        }
        Ok(parts)
    }

    /// The tasks of a list, or of a table of named ones.
    fn tasks(&mut self, value: &Value, above: &Above) -> Result<Vec<Part>, String> {
        let wrong = |what: &str| {
            Err(format!("{}: {what}", if above.path.is_empty() { "the list" } else { &above.path }))
        };
        let named: Vec<(Option<&str>, &Value)> = match value {
            Value::Array(list) => list.iter().map(|value| (None, value)).collect(),
            Value::Object(table) => table.iter().map(|(name, value)| (Some(name.as_str()), value)).collect(),
            Value::Null => Vec::new(),
            _ => return wrong("it is no list"),
        };
        let ids: BTreeSet<String> = named.iter().filter_map(|(name, value)| id_of(*name, value)).collect();
        let mut parts = Vec::new();
        for (at, (name, value)) in named.into_iter().enumerate() {
            let path = format!("{}[{}]", above.path, name.map_or_else(|| at.to_string(), str::to_owned));
            let object = match value {
                // A bare text is a title.
                Value::String(title) => &Map::from_iter([("title".to_owned(), Value::String(title.clone()))]),
                Value::Object(object) => object,
                _ => return Err(format!("{path}: it is no task, which has at least a title")),
            };
            let id = id_of(name, value);
            let above = Above { path, ..above.clone() };
            parts.extend(self.task(object, id, at, &ids, &above)?);
        }
        Ok(parts)
    }

    /// One task; none if it is not to be done.
    fn task(
        &mut self,
        object: &Map<String, Value>,
        id: Option<String>,
        at: usize,
        siblings: &BTreeSet<String>,
        above: &Above,
    ) -> Result<Option<Part>, String> {
        let known = [
            "id",
            "title",
            "name",
            "prompt",
            "description",
            "details",
            "testStrategy",
            "test_strategy",
            "requires",
            "dependencies",
            "depends_on",
            "dependsOn",
            "after",
            "refers",
            "inputs",
            "priority",
            "tags",
            "status",
            "done",
            "run",
            "text",
            "output_text",
            "executable",
        ];
        for key in
            object.keys().filter(|key| !known.contains(&key.as_str()) && !PARTS.contains(&key.as_str()))
        {
            *self.unknown.entry(key.clone()).or_default() += 1;
        }
        let plain: BTreeMap<&str, String> =
            object.iter().map(|(key, value)| (key.as_str(), lines_of(value))).collect();
        let text = |key: &str| plain.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
        let first = |keys: &[&str]| keys.iter().find_map(|key| text(key));
        let path = &above.path;
        let said: Vec<&str> =
            ["prompt", "description", "details"].iter().filter_map(|key| text(key)).collect();
        let title = match (first(&["title", "name"]), said.first()) {
            (Some(title), _) => title.to_owned(),
            (None, Some(said)) => said.lines().next().unwrap_or_default().chars().take(72).collect(),
            (None, None) => return Err(format!("{path}: it has neither title nor prompt")),
        };
        let status = first(&["status"]).unwrap_or_default().to_lowercase();
        if ["cancelled", "canceled", "deferred", "rejected", "wontfix"].contains(&status.as_str()) {
            self.left.push(format!("{path}: \"{title}\" is {status}"));
            return Ok(None);
        }
        let key_of =
            |id: &str| match is_number(id) && (above.number.is_empty() || !id.starts_with(&above.number)) {
                true => format!("{}{}{id}", above.tag, above.number),
                false => format!("{}{id}", above.tag),
            };
        // Without an id it is named by its place among those beside it.
        let key = match &id {
            Some(id) => key_of(id),
            None => format!("{}{}#{at}", above.tag, above.number),
        };
        let number = format!("{}.", &key[above.tag.len()..]);
        let inner = Above { number, ..above.clone() };
        let mut part = Part {
            parts: self.parts(object, &inner)?,
            name: id
                .as_deref()
                .filter(|id| !is_number(id))
                .map(|id| id.rsplit('/').next().unwrap_or(id).to_owned()),
            further: object.get("executable") == Some(&Value::Bool(false)),
            inputs: match object.get("inputs") {
                Some(Value::String(one)) => vec![one.clone()],
                several => texts(several),
            },
            run: ["template", "manual"].into_iter().find(|run| text("run") == Some(*run)),
            tags: texts(object.get("tags")),
            priority: self.priority(object.get("priority"), path),
            ..Part::default()
        };
        // Of two that fit, a sibling is meant.
        let link = |name: String| match siblings.contains(&name) {
            true => key_of(&name),
            false => format!("{}{name}", above.tag),
        };
        let links = |keys: &[&str]| keys.iter().flat_map(|key| texts(object.get(*key))).map(link).collect();
        part.requires = links(&["requires", "dependencies", "depends_on", "dependsOn", "after"]);
        part.refers = links(&["refers"]);
        let mut prompt: Vec<String> = said.iter().map(|said| (*said).to_owned()).collect();
        prompt
            .extend(first(&["testStrategy", "test_strategy"]).map(|how| format!("How it is checked: {how}")));
        let done = ["done", "completed", "complete", "finished"].contains(&status.as_str())
            || object.get("done") == Some(&Value::Bool(true));
        let output = first(&["text", "output_text"]);
        if done || output.is_some() {
            let body = output
                .map(str::to_owned)
                .or_else(|| (!said.is_empty()).then(|| format!("# {title}\n\n{}", said.join("\n\n"))));
            part.done = Some(body.unwrap_or_default());
        }
        part.prompt = if prompt.is_empty() { title.clone() } else { prompt.join("\n\n") };
        (part.key, part.title) = (key, title);
        Ok(Some(part))
    }

    fn priority(&mut self, value: Option<&Value>, path: &str) -> Option<i64> {
        let word = match value? {
            Value::Number(number) => return number.as_i64(),
            Value::String(word) => word.to_lowercase(),
            _ => String::new(),
        };
        match word.as_str() {
            "critical" | "highest" | "urgent" => Some(10),
            "high" => Some(50),
            "medium" | "normal" => None,
            "low" => Some(150),
            "lowest" => Some(190),
            _ => {
                self.left.push(format!(
                    "{path}: the priority {word:?} is neither a number nor high, medium or low"
                ));
                None
            }
        }
    }
}

fn is_number(id: &str) -> bool {
    id.chars().all(|c| c.is_ascii_digit() || c == '.')
}

fn id_of(name: Option<&str>, value: &Value) -> Option<String> {
    let own = match value.get("id") {
        Some(Value::String(id)) => Some(id.trim().to_owned()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    own.or_else(|| name.map(str::to_owned)).filter(|id| !id.is_empty())
}

/// A text, or the lines of a list of them.
fn lines_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(list) => {
            let lines: Vec<String> =
                list.iter().filter_map(|line| line.as_str().map(|line| format!("- {line}"))).collect();
            lines.join("\n")
        }
        _ => String::new(),
    }
}

/// A text, a number, or a list of such, as texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(_) => id_of(None, value),
        _ => None,
    };
    match value {
        Some(Value::String(several)) if several.contains(',') => {
            several.split(',').map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
        }
        Some(Value::Array(list)) => list.iter().filter_map(one).filter(|text| !text.is_empty()).collect(),
        Some(value) => one(value).into_iter().filter(|text| !text.is_empty()).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_master_list_keeps_subtasks_dependencies_and_what_is_done() {
        let text = r#"{"master": {"tasks": [
            {"id": 1, "title": "Set up", "description": "Make it.", "status": "done", "priority": "high", "dependencies": []},
            {"id": 2, "title": "Build", "description": "All of it.", "details": "Well.", "testStrategy": "Look.",
             "status": "pending", "dependencies": [1], "priority": "medium", "complexity": 4,
             "subtasks": [
               {"id": 1, "title": "One", "status": "pending", "dependencies": []},
               {"id": 2, "title": "Two", "status": "pending", "dependencies": [1, "1"]},
               {"id": 3, "title": "Three", "status": "cancelled", "dependencies": ["2.2"]}]},
            {"id": 3, "title": "Ship", "status": "pending", "dependencies": ["2.2"], "priority": "low"}
        ], "metadata": {"description": "The plan"}}}"#;
        let sketch = read_list("x/tasks.json", text, None).expect("a plan");
        assert_eq!((sketch.title.as_str(), sketch.intro.as_str()), ("Tasks", "The plan"));
        let [one, two, three] = sketch.parts.as_slice() else { panic!("{sketch:?}") };
        assert_eq!((one.done.as_deref(), one.priority), (Some("# Set up\n\nMake it."), Some(50)));
        assert_eq!((two.requires.as_slice(), two.priority), (&["1".to_owned()][..], None));
        assert_eq!(two.prompt, "All of it.\n\nWell.\n\nHow it is checked: Look.");
        assert_eq!(two.parts.len(), 2);
        assert_eq!(
            (two.parts[1].key.as_str(), two.parts[1].requires.as_slice()),
            ("2.2", &["2.1".to_owned(), "2.1".to_owned()][..])
        );
        assert_eq!((three.requires.as_slice(), three.priority), (&["2.2".to_owned()][..], Some(150)));
        assert_eq!(
            sketch.left,
            [
                "tasks[1].subtasks[2]: \"Three\" is cancelled",
                "x/tasks.json: the key `complexity` of 1 task has no counterpart",
            ]
        );
    }

    #[test]
    fn each_tag_is_a_big_task_unless_one_is_chosen() {
        let text = r#"{"a": {"tasks": [{"id": 1, "title": "X"}, {"id": 2, "title": "Y", "dependencies": [1], "subtasks": [{"id": 1, "title": "Z", "dependencies": ["1"]}]}]},
                       "b": {"tasks": [{"id": 1, "title": "X"}]}}"#;
        let both = read_list("t.json", text, None).expect("a plan");
        assert_eq!(both.parts.iter().map(|part| part.title.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(both.parts[0].parts[1].requires, ["a/1"]);
        assert_eq!(both.parts[0].parts[1].parts[0].key, "a/2.1");
        assert_eq!(both.parts[0].parts[1].parts[0].tags, ["a"]);
        let one = read_list("t.json", text, Some("b")).expect("a plan");
        assert_eq!((one.parts.len(), one.parts[0].key.as_str()), (1, "1"));
        assert_eq!(
            read_list("t.json", text, Some("c")).expect_err("no such tag"),
            "it has no tag `c`, only a, b"
        );
    }

    #[test]
    fn lists_in_yaml_and_toml_are_read_alike() {
        let yaml =
            "title: Trip\ntasks:\n- Pack\n- id: book\n  title: Book\n  depends_on: pack\n  tags: boat\n";
        let toml = "title = \"Trip\"\n[[tasks]]\ntitle = \"Pack\"\n[[tasks]]\nid = \"book\"\ntitle = \"Book\"\ndepends_on = [\"pack\"]\ntags = [\"boat\"]\n";
        let one = read_list("a.yaml", yaml, None).expect("YAML");
        assert_eq!(one, read_list("a.toml", toml, None).expect("TOML"));
        assert_eq!(one.parts[1].requires, ["pack"]);
        assert_eq!(one.parts[1].name.as_deref(), Some("book"));
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_place() {
        for (file, text, message) in [
            ("a.json", "{", "it is no JSON: EOF while parsing an object at line 1 column 1"),
            ("a.json", "{\"x\": 1}", "it has no list of tasks: `tasks`, or one for each tag"),
            (
                "a.json",
                "{\"tasks\": [{\"title\": \"a\", \"subtasks\": [{}]}]}",
                "tasks[0].subtasks[0]: it has neither title nor prompt",
            ),
            ("a.json", "{\"tasks\": [1]}", "tasks[0]: it is no task, which has at least a title"),
            ("a.json", "1", "it is no list of tasks"),
        ] {
            assert_eq!(read_list(file, text, None).expect_err(text), message);
        }
    }
}
