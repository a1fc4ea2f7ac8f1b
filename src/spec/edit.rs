//! Edits of task files: one key changes, every other byte stays.

use toml_edit::{Array, DocumentMut, Item, Table, Value};

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

    /// The text with all edits.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    fn task(&mut self) -> Result<&mut Table, String> {
        let top = self.document.as_table_mut();
        match &self.table {
            None => Ok(top),
            Some(name) => {
                let table = top.get_mut("tasks").and_then(|tasks| tasks.as_table_like_mut()?.get_mut(name));
                table
                    .and_then(Item::as_table_mut)
                    .ok_or_else(|| format!("`tasks.{name}` is no table of its own"))
            }
        }
    }

    /// The table that a key like `context.pin` is in, made if it is not there, and the key's own name.
    fn place<'k>(&mut self, key: &'k str) -> Result<(&mut dyn toml_edit::TableLike, &'k str), String> {
        let task = self.task()?;
        match key.split_once('.') {
            None => Ok((task, key)),
            Some((section, key)) => {
                let item = task.entry(section).or_insert_with(|| Item::Table(Table::new()));
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
        let mut new = Value::from(value);
        match array.len().checked_sub(1).and_then(|last| array.get(last)) {
            // Laid out as the element before it.
            Some(last) => {
                let prefix = last.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or(" ");
                let prefix = if prefix.is_empty() { " ".to_owned() } else { prefix.to_owned() };
                // A comment after the last element stays with it.
                let prefix = match prefix.rsplit_once('\n') {
                    Some((_, indent)) => format!("\n{indent}"),
                    None => prefix,
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
        if at == 0
            && let Some(first) = array.get_mut(0)
        {
            *first.decor_mut() = removed.decor().clone();
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
        if task.get(section).and_then(Item::as_table).is_some_and(Table::is_empty) {
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
                drop(table.insert(name, toml_edit::value(array)));
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

fn list<'a>(table: &'a mut dyn toml_edit::TableLike, key: &str) -> Result<&'a mut Array, String> {
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
