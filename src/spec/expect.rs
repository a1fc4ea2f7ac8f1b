//! `[expect]`: what a task's output must be before it is accepted.

use regex::Regex;

use super::keys::Keys;
use super::redact::last_line;
use super::{At, Runner, TokenizerName};
use crate::diag::{Diagnostic, Sink};
use crate::digest::{Digest, Framer};
use crate::path::RelPath;

/// A format that an output can be asked to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON value.
    Json,
    /// YAML, one document or several.
    Yaml,
    /// A TOML document.
    Toml,
    /// Text that is not one fenced block and leaves none open.
    Markdown,
}

impl OutputFormat {
    /// The format as it is written.
    pub fn word(self) -> &'static str {
        match self {
            OutputFormat::Json => "json",
            OutputFormat::Yaml => "yaml",
            OutputFormat::Toml => "toml",
            OutputFormat::Markdown => "markdown",
        }
    }
}

/// The `[expect]` table of a task.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The fewest tokens.
    pub min_tokens: Option<usize>,
    /// The most tokens.
    pub max_tokens: Option<usize>,
    /// Texts that must be in it, as they are.
    pub contains: Vec<String>,
    /// A regular expression that must match somewhere.
    pub matches: Option<Regex>,
    /// Headings that must be in it, at any level.
    pub headings: Vec<String>,
    /// The format that it must have.
    pub format: Option<OutputFormat>,
    /// A JSON Schema that its data must fit.
    pub schema: Option<At<RelPath>>,
    /// A program that reads it on stdin and ends with 0 if it is good.
    pub command: Vec<String>,
    /// How often a failing answer is sent back.
    pub repairs: usize,
}

impl Expect {
    pub(super) fn read(mut keys: Keys<'_>, run: &Runner) -> Option<Self> {
        let texts = |list: Option<Vec<At<String>>>| -> Vec<String> {
            list.unwrap_or_default().into_iter().map(|at| at.value).collect()
        };
        let expect = Expect {
            min_tokens: keys.count("min_tokens"),
            max_tokens: keys.count("max_tokens"),
            contains: match keys.string_or_strings("contains") {
                Some(Ok(text)) => vec![text.value],
                Some(Err(list)) => list.value,
                None => Vec::new(),
            },
            matches: keys.string("matches").and_then(|text| read_pattern(&text, keys.sink())),
            headings: texts(keys.strings("headings")),
            format: keys.string("format").and_then(|text| {
                let formats =
                    [OutputFormat::Json, OutputFormat::Yaml, OutputFormat::Toml, OutputFormat::Markdown];
                keys.choose(&text, &formats.map(|format| (format.word(), format)))
            }),
            schema: keys.string("schema").and_then(|text| read_schema(text, keys.sink())),
            command: texts(keys.strings("command")),
            repairs: keys.integer("repairs", 0..=10).map_or(1, |at| at.value as usize),
        };
        let wrong = |message: &str, help: &str| {
            keys.sink()
                .push(Diagnostic::error(message).at(keys.source().place(keys.span.clone())).help(help));
        };
        if *run == Runner::Manual {
            wrong("a person writes this output, so nothing is expected of it", "remove `[expect]`");
        }
        if expect.min_tokens.zip(expect.max_tokens).is_some_and(|(least, most)| least > most) {
            wrong("`min_tokens` is more than `max_tokens`", "no text could be both");
        }
        if expect.schema.is_some() && expect.format == Some(OutputFormat::Markdown) {
            wrong("a schema is for data, and `format` is markdown", "take `json`, `yaml` or `toml`");
        }
        keys.finish();
        Some(expect)
    }

    /// The digest of all that it asks for, with the schema's text, and by which tokenizer tokens are counted. How often an answer is sent back asks
    /// nothing of it.
    pub fn digest(&self, schema: Option<Digest>, tokenizer: TokenizerName) -> Digest {
        let mut framer = Framer::new("meu expect v1");
        let number = |number: Option<usize>| number.map(|number| number.to_string());
        framer.maybe(number(self.min_tokens)).maybe(number(self.max_tokens));
        let counts = self.min_tokens.is_some() || self.max_tokens.is_some();
        framer.maybe(counts.then(|| tokenizer.word()));
        for list in [&self.contains, &self.headings, &self.command] {
            framer.count(list.len());
            for text in list {
                framer.field(text);
            }
        }
        framer.maybe(self.matches.as_ref().map(Regex::as_str));
        framer.maybe(self.format.map(OutputFormat::word));
        framer.maybe(schema.map(|digest| *digest.as_bytes()));
        framer.finish()
    }
}

fn read_pattern(text: &At<String>, sink: &Sink) -> Option<Regex> {
    match Regex::new(&text.value) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            sink.push(
                Diagnostic::error(format!("`{}` is no regular expression", text.value))
                    .at(text.place())
                    .help(last_line(&error)),
            );
            None
        }
    }
}

fn read_schema(text: At<String>, sink: &Sink) -> Option<At<RelPath>> {
    match RelPath::parse(&text.value) {
        Ok(value) => Some(At { value, source: text.source, span: text.span }),
        Err(problem) => {
            sink.push(
                Diagnostic::error(problem.message())
                    .at(text.place())
                    .help("name a JSON Schema inside the project, for instance `schemas/report.schema.json`"),
            );
            None
        }
    }
}
