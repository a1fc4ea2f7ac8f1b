//! Edits of task files: one key changes, every other byte stays.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::Task;

/// A task's text, open for edits.
#[derive(Debug)]
pub struct TaskText {
    document: DocumentMut,
    /// The name of the `[tasks.NAME]` table that the task is, if it is one.
    table: Option<String>,
}

impl TaskText {
    /// Opens the text of a file; `table` is the task's name in a file of several.
    pub fn new(text: &str, table: Option<&str>) -> Result<Self, String> {
        let document = text.parse::<DocumentMut>().map_err(|error| error.message().to_owned())?;
        Ok(TaskText { document, table: table.map(str::to_owned) })
    }

    /// Opens the text of the file that a task was read from, `text` being what it holds now; `tasks` is the
    /// tasks' folder.
    pub fn of(task: &Task, tasks: &str, text: &str) -> Result<Self, String> {
        let path = &task.id.source.path;
        let stem = path.strip_suffix(".toml").unwrap_or(path);
        let stem = stem.strip_prefix(&format!("{tasks}/")).unwrap_or(stem);
        TaskText::new(text, task.id.value.strip_prefix(stem).and_then(|rest| rest.strip_prefix('/')))
    }

    /// The text with all edits.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    fn task(&mut self) -> Result<&mut dyn TableLike, String> {
        let top = self.document.as_table_mut();
        match &self.table {
            None => Ok(top),
            Some(name) => {
                let table = top.get_mut("tasks").and_then(|tasks| tasks.as_table_like_mut()?.get_mut(name));
                table
                    .and_then(Item::as_table_like_mut)
                    .ok_or_else(|| format!("`tasks.{name}` is no table of its own"))
            }
        }
    }

    /// The table that a key like `context.pin` is in, made if it is not there, and the key's own name.
    fn place<'k>(&mut self, key: &'k str) -> Result<(&mut dyn TableLike, &'k str), String> {
        let task = self.task()?;
        match key.split_once('.') {
            None => Ok((task, key)),
            Some((section, key)) => {
                if task.get(section).is_none() {
                    task.insert(section, Item::Table(Table::new()));
                }
                let item = task.get_mut(section).ok_or_else(|| format!("`{section}` is no table"))?;
                let table = item.as_table_like_mut().ok_or_else(|| format!("`{section}` is no table"))?;
                Ok((table, key))
            }
        }
    }

    /// Adds a text to a list, unless it is there. Tells whether it was added.
    pub fn add(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let (table, name) = self.place(key)?;
        if table.get(name).is_none() {
            table.insert(name, toml_edit::value(Array::new()));
        }
        let array = list(table, name)?;
        if array.iter().any(|known| known.as_str() == Some(value)) {
            return Ok(false);
        }
        // Without a comma at its end the last element holds what comes after it.
        if let Some(last) = array.len().checked_sub(1).and_then(|last| array.get_mut(last)) {
            let suffix = last.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or("").to_owned();
            if suffix.contains('\n') {
                last.decor_mut().set_suffix("");
                array.set_trailing(suffix);
            }
        }
        let mut new = Value::from(value);
        match array.len().checked_sub(1).and_then(|last| array.get(last)) {
            // Laid out as the element before it.
            Some(last) => {
                let prefix = last.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or(" ");
                // A comment after an element stands before the next one, or at the array's end.
                let indent = prefix.rsplit_once('\n').map(|(_, indent)| format!("\n{indent}"));
                let after = array.trailing().as_str().unwrap_or("").to_owned();
                let comment = after.split_once('\n').filter(|(comment, _)| comment.contains('#'));
                let prefix = match (&indent, comment) {
                    (Some(indent), Some((comment, rest))) => {
                        array.set_trailing(format!("\n{rest}"));
                        format!("{comment}{indent}")
                    }
                    (Some(indent), None) => {
                        if !after.contains('\n') {
                            array.set_trailing("\n");
                        }
                        indent.clone()
                    }
                    (None, _) if prefix.is_empty() => " ".to_owned(),
                    (None, _) => prefix.to_owned(),
                };
                *new.decor_mut() = toml_edit::Decor::new(prefix, "");
                array.push_formatted(new);
            }
            None => array.push(value),
        }
        Ok(true)
    }

    /// Takes a text out of a list; an empty list goes. Tells whether it was there.
    pub fn remove(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let (table, name) = self.place(key)?;
        if table.get(name).is_none() {
            return Ok(false);
        }
        let array = list(table, name)?;
        let Some(at) = array.iter().position(|known| known.as_str() == Some(value)) else { return Ok(false) };
        let removed = array.remove(at);
        let text = |raw: Option<&toml_edit::RawString>| {
            raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned()
        };
        // What stands before an element: the comment of the one before it, in its line, then the lines above it.
        let before = text(removed.decor().prefix());
        match array.get_mut(at) {
            Some(next) => {
                let own = text(next.decor().prefix());
                next.decor_mut().set_prefix(before_next(&before, &own));
            }
            None => {
                // Without a comma at the list's end the last element has what comes after it.
                let after = format!("{}{}", text(removed.decor().suffix()), text(Some(array.trailing())));
                let rest = after.split_once('\n').map(|(_, rest)| rest);
                let comment = before.split_once('\n').map_or("", |(comment, _)| comment);
                array.set_trailing(match rest {
                    Some(rest) => format!("{comment}\n{rest}"),
                    None if comment.contains('#') => format!("{comment}\n"),
                    None => after,
                });
            }
        }
        if array.is_empty() {
            table.remove(name);
        }
        self.drop_if_empty(key)?;
        Ok(true)
    }

    /// A section that a command made goes with its last key.
    fn drop_if_empty(&mut self, key: &str) -> Result<(), String> {
        let Some((section, _)) = key.split_once('.') else { return Ok(()) };
        let task = self.task()?;
        // Not one that a person wrote a comment to.
        let bare = |table: &Table| {
            let words = |raw: Option<&toml_edit::RawString>| {
                raw.and_then(|raw| raw.as_str()).is_some_and(|text| text.contains('#'))
            };
            table.is_empty() && !words(table.decor().prefix()) && !words(table.decor().suffix())
        };
        if task.get(section).and_then(Item::as_table).is_some_and(bare) {
            task.remove(section);
        }
        Ok(())
    }

    /// Puts a text in the place of another in a list, or as the key's own value.
    pub fn replace(&mut self, key: &str, old: &str, new: &str) -> Result<bool, String> {
        let (table, name) = self.place(key)?;
        let Some(item) = table.get_mut(name) else { return Ok(false) };
        let put = |value: &mut Value| {
            let decor = value.decor().clone();
            *value = Value::from(new);
            *value.decor_mut() = decor;
        };
        match item.as_value_mut() {
            Some(Value::Array(array)) => {
                let found = array.iter_mut().find(|value| value.as_str() == Some(old));
                Ok(found.map(put).is_some())
            }
            Some(value) if value.as_str() == Some(old) => {
                put(value);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Sets a list of texts; `None` takes the key out.
    pub fn set_list(&mut self, key: &str, values: Option<&[String]>) -> Result<(), String> {
        let (table, name) = self.place(key)?;
        match values {
            None => {
                drop(table.remove(name));
                self.drop_if_empty(key)?;
            }
            Some(values) => {
                let array: Array = values.iter().map(String::as_str).collect();
                let mut new = Value::Array(array);
                if let Some(old) = table.get(name).and_then(Item::as_value) {
                    *new.decor_mut() = old.decor().clone();
                }
                drop(table.insert(name, Item::Value(new)));
            }
        }
        Ok(())
    }

    /// Whether the task has its file for itself.
    pub fn is_alone(&self) -> bool {
        self.table.is_none() && !self.document.contains_key("tasks")
    }

    /// Whether somebody wrote a comment, but for the line by which editors find a schema.
    pub fn has_comments(&self) -> bool {
        fn emptied(value: &mut Value) {
            match value {
                Value::Array(list) => list.iter_mut().for_each(emptied),
                value => {
                    let decor = value.decor().clone();
                    *value = Value::from("");
                    *value.decor_mut() = decor;
                }
            }
        }
        let mut document = self.document.clone();
        for (_, item) in document.iter_mut() {
            if let Some(value) = item.as_value_mut() {
                emptied(value);
            }
        }
        let text = document.to_string();
        text.lines().any(|line| line.contains('#') && !line.starts_with("#:schema "))
    }

    /// The task's keys.
    pub fn keys(&mut self) -> Vec<String> {
        self.task().map(|task| task.iter().map(|(key, _)| key.to_owned()).collect()).unwrap_or_default()
    }

    /// The value of a key.
    pub fn value(&mut self, key: &str) -> Option<Value> {
        self.task().ok()?.get(key)?.as_value().cloned()
    }

    /// Sets the value of a key, or takes the key out. A comment beside it stays.
    pub fn set(&mut self, key: &str, value: Option<Value>) -> Result<(), String> {
        let task = self.task()?;
        match (value, task.get_mut(key).and_then(Item::as_value_mut)) {
            (Some(mut value), Some(old)) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            (Some(value), None) => {
                task.insert(key, Item::Value(value));
            }
            (None, _) => {
                task.remove(key);
            }
        }
        Ok(())
    }

    /// Sets a text at the top of the task, if the key is not there.
    pub fn set_missing(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let task = self.task()?;
        if task.contains_key(key) {
            return Ok(false);
        }
        task.insert(key, toml_edit::value(value));
        Ok(true)
    }
}

/// What stands before an element once the one before it is gone: what stood before that one, but for the comments
/// above it, which go with it, if those of the next are its own.
fn before_next(removed: &str, next: &str) -> String {
    match (removed.split_once('\n'), next.split_once('\n')) {
        (Some((comment, _)), Some((_, above))) if above.contains('#') => format!("{comment}\n{above}"),
        (None, Some((_, above))) if above.contains('#') => format!("\n{above}"),
        _ => removed.to_owned(),
    }
}

fn list<'a>(table: &'a mut dyn TableLike, key: &str) -> Result<&'a mut Array, String> {
    let array = table.get_mut(key).and_then(|item| item.as_value_mut()?.as_array_mut());
    array.ok_or_else(|| format!("`{key}` is no list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, edit: impl Fn(&mut TaskText) -> Result<bool, String>, expected: &str) {
        let mut task = TaskText::new(text, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(edit(&mut task), Ok(true));
        assert_eq!(task.text(), expected);
    }

    #[test]
    fn comments_and_layout_stay() {
        check(
            "# top\nprompt = \"x\"  # why\nrequires = [ # all of them\n  \"a\",  # first\n  \"b\",\n]\n",
            |task| task.add("requires", "c"),
            "# top\nprompt = \"x\"  # why\nrequires = [ # all of them\n  \"a\",  # first\n  \"b\",\n  \"c\",\n]\n",
        );
        check(
            "requires = [\"a\", \"b\"] # two\n",
            |task| task.remove("requires", "a"),
            "requires = [\"b\"] # two\n",
        );
        check("requires = [\"a\"]\n", |task| task.add("requires", "b"), "requires = [\"a\", \"b\"]\n");
    }

    #[test]
    fn each_comment_stays_with_its_element() {
        let list = "refers = [\n  \"a\", # about a\n  \"b\", # about b\n  \"c\", # about c\n]\n";
        check(
            list,
            |task| task.remove("refers", "b"),
            "refers = [\n  \"a\", # about a\n  \"c\", # about c\n]\n",
        );
        check(
            list,
            |task| task.remove("refers", "c"),
            "refers = [\n  \"a\", # about a\n  \"b\", # about b\n]\n",
        );
        check(
            list,
            |task| task.remove("refers", "a"),
            "refers = [\n  \"b\", # about b\n  \"c\", # about c\n]\n",
        );
        check(
            "refers = [\n  \"a\" # no comma\n]\n",
            |task| task.add("refers", "b"),
            "refers = [\n  \"a\", # no comma\n  \"b\"\n]\n",
        );
    }

    #[test]
    fn comments_above_elements_stay_with_them() {
        let list = "refers = [\n  # about b\n  \"b\",\n  # about c\n  \"c\",\n]\n";
        check(list, |task| task.remove("refers", "b"), "refers = [\n  # about c\n  \"c\",\n]\n");
        check(list, |task| task.remove("refers", "c"), "refers = [\n  # about b\n  \"b\",\n]\n");
        // One for several stays.
        check(
            "refers = [\n  # birds\n  \"b\",\n  \"c\",\n]\n",
            |task| task.remove("refers", "b"),
            "refers = [\n  # birds\n  \"c\",\n]\n",
        );
    }

    #[test]
    fn a_list_may_end_without_a_comma() {
        check(
            "refers = [\n  \"b\", # why b\n  \"c\"\n]\n",
            |task| task.remove("refers", "c"),
            "refers = [\n  \"b\" # why b\n]\n",
        );
        check(
            "refers = [\n  \"b\", # why b\n  \"c\"]\n",
            |task| task.remove("refers", "c"),
            "refers = [\n  \"b\" # why b\n]\n",
        );
        check("refers = [\"b\", \"c\" ]\n", |task| task.remove("refers", "c"), "refers = [\"b\" ]\n");
    }

    #[test]
    fn tables_are_made_and_empty_lists_go() {
        check(
            "prompt = \"x\"\n",
            |task| task.add("context.pin", "doc:a.md"),
            "prompt = \"x\"\n\n[context]\npin = [\"doc:a.md\"]\n",
        );
        check("prompt = \"x\"\nrefers = [\"a\"]\n", |task| task.remove("refers", "a"), "prompt = \"x\"\n");
    }

    #[test]
    fn a_task_in_a_table_is_edited_there() {
        let text = "[tasks.a]\nprompt = \"x\"\n\n[tasks.b]\nprompt = \"y\"\n";
        let mut task = TaskText::new(text, Some("b")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(task.add("requires", "a"), Ok(true));
        assert_eq!(task.text(), format!("{text}requires = [\"a\"]\n"));
    }

    #[test]
    fn a_reference_is_replaced_where_it_stands() {
        check(
            "requires = [\n  \"a#X\", # note\n]\nduplicates = \"a\"\n",
            |task| Ok(task.replace("requires", "a#X", "b#X")? && task.replace("duplicates", "a", "b")?),
            "requires = [\n  \"b#X\", # note\n]\nduplicates = \"b\"\n",
        );
    }
}
