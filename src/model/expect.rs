//! Whether an answer is what a task expects, and how it is sent back if not.

use crate::request::{Message, Request};
use crate::spec::{Expect, OutputFormat, TokenizerName, toml_data};
use crate::text;

/// A JSON Schema, read and compiled.
#[cfg(feature = "schema")]
#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

/// A JSON Schema. This meu is built without them.
#[cfg(not(feature = "schema"))]
#[derive(Debug)]
pub struct Schema(std::convert::Infallible);

/// The most faults of one schema that are told.
#[cfg(feature = "schema")]
const FAULTS_TOLD: usize = 5;

impl Schema {
    /// Reads a schema; nothing outside of it is looked up.
    #[cfg(feature = "schema")]
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        jsonschema::validator_for(&value)
            .map(Schema)
            .map_err(|error| format!("it is no JSON Schema: {error}"))
    }

    /// Reads a schema.
    #[cfg(not(feature = "schema"))]
    pub fn parse(_: &str) -> Result<Self, String> {
        Err("this meu is built without JSON Schema; install it with its default features".into())
    }

    /// Where a value does not fit, a line each; no more than a few.
    #[cfg(feature = "schema")]
    pub fn faults(&self, value: &serde_json::Value) -> Vec<String> {
        let mut faults: Vec<String> = self
            .0
            .iter_errors(value)
            .take(FAULTS_TOLD + 1)
            .map(|error| {
                let at = error.instance_path().to_string();
                let at = if at.is_empty() { "at the top".to_owned() } else { format!("at {at}") };
                // A huge value would drown what is wrong with it.
                let what: String = error.to_string().chars().take(300).collect();
                format!("it does not fit the schema {at}: {what}")
            })
            .collect();
        if faults.len() > FAULTS_TOLD {
            faults.truncate(FAULTS_TOLD);
            faults.push("it does not fit the schema in more places".into());
        }
        faults
    }

    /// Where a value does not fit.
    #[cfg(not(feature = "schema"))]
    pub fn faults(&self, _: &serde_json::Value) -> Vec<String> {
        match self.0 {}
    }
}

/// What of an answer is not as expected, but for what a program would say: each fault in one line.
pub fn faults(
    expect: &Expect,
    schema: Option<&Schema>,
    tokenizer: TokenizerName,
    answer: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    if expect.min_tokens.is_some() || expect.max_tokens.is_some() {
        let tokens = text::count(tokenizer, answer.trim_end());
        if let Some(least) = expect.min_tokens.filter(|least| tokens < *least) {
            faults.push(format!("it has {tokens} tokens, and {least} are the least"));
        }
        if let Some(most) = expect.max_tokens.filter(|most| tokens > *most) {
            faults.push(format!("it has {tokens} tokens, and {most} are the most"));
        }
    }
    for wanted in expect.contains.iter().filter(|wanted| !answer.contains(wanted.as_str())) {
        faults.push(format!("it does not contain {wanted:?}"));
    }
    if let Some(pattern) = expect.matches.as_ref().filter(|pattern| !pattern.is_match(answer)) {
        faults.push(format!("nothing in it matches the regular expression {}", pattern.as_str()));
    }
    let there = text::headings(answer);
    for wanted in &expect.headings {
        if !there.iter().any(|heading| heading.text.trim() == wanted.trim()) {
            faults.push(format!("it has no heading {wanted:?}"));
        }
    }
    // A schema is for data: JSON unless another format is asked for.
    let format = expect.format.or(schema.map(|_| OutputFormat::Json));
    match format.map(|format| (format, parse(format, answer))) {
        None => {}
        Some((format, Err(error))) => faults.push(format!("it is no {}: {error}", name(format))),
        Some((_, Ok(data))) => match (schema, data()) {
            (None, _) => {}
            (Some(schema), Ok(value)) => faults.extend(schema.faults(&value)),
            (Some(_), Err(error)) => faults.push(format!("a schema cannot be held against it: {error}")),
        },
    }
    faults
}

fn name(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::Json => "JSON",
        OutputFormat::Yaml => "YAML",
        OutputFormat::Toml => "TOML",
        OutputFormat::Markdown => "plain Markdown",
    }
}

/// The data of an answer, where a schema asks for it.
type Data = Box<dyn FnOnce() -> Result<serde_json::Value, String>>;

/// Reads an answer in a format. Markdown is any text that is not one fenced block and leaves no fence
/// open; it holds no data.
fn parse(format: OutputFormat, answer: &str) -> Result<Data, String> {
    use serde::Deserialize;
    match format {
        OutputFormat::Json => {
            let value: serde_json::Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
            Ok(Box::new(|| Ok(value)))
        }
        OutputFormat::Yaml => {
            let documents: Result<Vec<serde_yaml::Value>, _> =
                serde_yaml::Deserializer::from_str(answer).map(serde_yaml::Value::deserialize).collect();
            let mut documents = documents.map_err(|error| error.to_string())?;
            Ok(Box::new(move || match (documents.pop(), documents.is_empty()) {
                (Some(one), true) => serde_json::to_value(one).map_err(|error| error.to_string()),
                _ => Err("it is several documents".into()),
            }))
        }
        OutputFormat::Toml => {
            let value = toml_data(answer)?;
            Ok(Box::new(|| Ok(value)))
        }
        OutputFormat::Markdown => {
            let lines: Vec<&str> = answer.trim().lines().collect();
            let mut open: Option<(usize, &str)> = None;
            for (at, line) in lines.iter().enumerate() {
                let fence = fence_of(line);
                match open {
                    None => open = fence.map(|fence| (at, fence)),
                    // An end is as long as its beginning, or longer, and has no word after it.
                    Some((from, begin)) if fence.is_some_and(|end| end.starts_with(begin)) => {
                        if line.trim().len() == fence.map_or(0, str::len) {
                            if from == 0 && at + 1 == lines.len() {
                                return Err("all of it is one fenced block".into());
                            }
                            open = None;
                        }
                    }
                    Some(_) => {}
                }
            }
            match open {
                Some((at, _)) => Err(format!("the fenced block in line {} has no end", at + 1)),
                None => Ok(Box::new(|| Ok(serde_json::Value::Null))),
            }
        }
    }
}

/// The backticks or tildes that a line begins a fenced block with. (CommonMark 0.31, section 4.5.)
fn fence_of(line: &str) -> Option<&str> {
    let inner = line.trim_start_matches(' ');
    let first = inner.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = inner.trim_start_matches(first);
    let fence = &inner[..inner.len() - rest.len()];
    let is_fence = line.len() - inner.len() <= 3 && fence.len() >= 3 && !(first == '`' && rest.contains('`'));
    is_fence.then_some(fence)
}

/// The request that sends an answer back with what is wrong with it.
pub fn repair(request: &Request, answer: &str, faults: &[String]) -> Request {
    let list: String = faults.iter().map(|fault| format!("- {fault}\n")).collect();
    let mut again = request.clone();
    again.messages.push(Message { role: "assistant", content: answer.to_owned() });
    again.messages.push(Message {
        role: "user",
        content: format!(
            "This answer cannot be taken:\n\n{list}\nAnswer the task again, the whole of it, with that \
             mended. Answer with the text itself, without a word about it before or after.\n"
        ),
    });
    again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Sink, Source};
    use crate::spec::parse_tasks;
    use std::sync::Arc;

    fn expect(text: &str) -> Expect {
        let text = format!("prompt = \"x\"\n[expect]\n{text}");
        let source = Arc::new(Source { path: "tasks/a.toml".into(), text });
        let sink = Sink::default();
        let task = parse_tasks(&source, "a", &sink).pop().expect("a task");
        let problems: Vec<String> = sink.into_sorted().into_iter().map(|problem| problem.message).collect();
        assert_eq!(problems, [""; 0]);
        task.expect.expect("a table")
    }

    fn check(toml: &str, answer: &str, expected: &[&str]) {
        assert_eq!(faults(&expect(toml), None, TokenizerName::Chars, answer), expected, "{toml} {answer}");
    }

    #[test]
    fn each_key_is_checked() {
        check("min_tokens = 3\nmax_tokens = 4", "abc\n", &[]);
        check("min_tokens = 3", "ab\n", &["it has 2 tokens, and 3 are the least"]);
        check("max_tokens = 3", "abcd\n", &["it has 4 tokens, and 3 are the most"]);
        check("contains = \"b\"", "abc", &[]);
        check("contains = [\"b\", \"x\"]", "abc", &["it does not contain \"x\""]);
        check("matches = '^\\d+$'", "12", &[]);
        check("matches = '^\\d+$'", "a", &["nothing in it matches the regular expression ^\\d+$"]);
        check("headings = [\"One\"]", "# One\n\nx\n", &[]);
        check("headings = [\"One\", \"Two\"]", "One\n\n## Two\n", &["it has no heading \"One\""]);
        check("format = \"json\"", "{\"a\": 1}\n", &[]);
        check("format = \"json\"", "```json\n{}\n```", &["it is no JSON: expected value at line 1 column 1"]);
        check("format = \"yaml\"", "a: 1\n", &[]);
        check("format = \"toml\"", "a = 1\nd = 2024-01-01\n", &[]);
        check("format = \"yaml\"", "a: !foo x\n---\nb: 2\n", &[]);
        check("format = \"markdown\"", "```x``` is code in a line.\n", &[]);
        check("format = \"markdown\"", "a\n\n    ```\n", &[]);
        check(
            "format = \"toml\"",
            "a = \n",
            &["it is no TOML: string values must be quoted, expected literal string"],
        );
        check("format = \"markdown\"", "# A\n\n```\nx\n```\n", &[]);
        check("format = \"markdown\"", "````\n```\nx\n````\n\ny\n", &[]);
        check(
            "format = \"markdown\"",
            "```\nx\n```\n",
            &["it is no plain Markdown: all of it is one fenced block"],
        );
        check(
            "format = \"markdown\"",
            "a\n```\nx\n",
            &["it is no plain Markdown: the fenced block in line 2 has no end"],
        );
        assert_eq!(faults(&expect("format = \"yaml\""), None, TokenizerName::Chars, "a: [").len(), 1);
    }

    #[cfg(feature = "schema")]
    #[test]
    fn data_of_any_format_must_fit_a_schema() {
        let schema = Schema::parse(
            r#"{"type": "object", "required": ["name"], "properties": {"n": {"type": "integer"}}}"#,
        )
        .expect("a schema");
        let check = |toml: &str, answer: &str, expected: &[&str]| {
            let found = faults(&expect(toml), Some(&schema), TokenizerName::Chars, answer);
            assert_eq!(found, expected);
        };
        check("", "{\"name\": 1}", &[]);
        check(
            "",
            "{\"n\": 1.5}",
            &[
                "it does not fit the schema at the top: \"name\" is a required property",
                "it does not fit the schema at /n: 1.5 is not of type \"integer\"",
            ],
        );
        check("format = \"toml\"", "name = 'x'\n", &[]);
        check("format = \"toml\"", "name = 2024-01-01\nn = 1\n", &[]);
        check(
            "format = \"yaml\"",
            "n: 1\n",
            &["it does not fit the schema at the top: \"name\" is a required property"],
        );
        assert!(Schema::parse("{").is_err_and(|error| error.starts_with("it is no JSON: ")));
        assert!(
            Schema::parse("{\"type\": 1}").is_err_and(|error| error.starts_with("it is no JSON Schema: "))
        );
    }
}
