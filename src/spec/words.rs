//! The closed sets of words that users write: tiers, links, references to items, orders.

use std::fmt;

/// Why an item is in a bundle; also the order in which tiers are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are the words of the contract
pub enum Tier {
    Index,
    Requires,
    Input,
    Refers,
    Plan,
    Retrieved,
    Manual,
}

impl Tier {
    /// All tiers, in their default order.
    pub const ALL: [Tier; 7] =
        [Tier::Index, Tier::Requires, Tier::Input, Tier::Refers, Tier::Plan, Tier::Retrieved, Tier::Manual];

    /// The tier as it is written.
    pub fn word(self) -> &'static str {
        match self {
            Tier::Index => "index",
            Tier::Requires => "requires",
            Tier::Input => "input",
            Tier::Refers => "refers",
            Tier::Plan => "plan",
            Tier::Retrieved => "retrieved",
            Tier::Manual => "manual",
        }
    }

    /// Reads a tier's word.
    pub fn from_word(word: &str) -> Option<Self> {
        Tier::ALL.into_iter().find(|tier| tier.word() == word)
    }
}

/// The kinds of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names are the words of the contract
pub enum LinkKind {
    Requires,
    Refers,
    RelatesTo,
    Duplicates,
}

impl LinkKind {
    /// The link's key in a task file.
    pub fn word(self) -> &'static str {
        match self {
            LinkKind::Requires => "requires",
            LinkKind::Refers => "refers",
            LinkKind::RelatesTo => "relates_to",
            LinkKind::Duplicates => "duplicates",
        }
    }
}

/// Which of the tasks that may run goes first; never changes an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By (priority, id).
    #[default]
    Dag,
    /// By (level, priority, id).
    Bfs,
    /// What the first target needs, then the target, then the next.
    Postorder,
}

/// How tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenizerName {
    /// OpenAI's `o200k_base`.
    O200k,
    /// OpenAI's `cl100k_base`.
    Cl100k,
    /// One token a character (Unicode scalar value).
    Chars,
}

impl TokenizerName {
    /// All tokenizers.
    pub const ALL: [TokenizerName; 3] = [TokenizerName::O200k, TokenizerName::Cl100k, TokenizerName::Chars];

    /// The tokenizer as it is written.
    pub fn word(self) -> &'static str {
        match self {
            TokenizerName::O200k => "o200k_base",
            TokenizerName::Cl100k => "cl100k_base",
            TokenizerName::Chars => "chars",
        }
    }

    /// Reads a tokenizer's word.
    pub fn from_word(word: &str) -> Option<Self> {
        TokenizerName::ALL.into_iter().find(|name| name.word() == word)
    }
}

/// Which part of INDEX.md goes into every bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPick {
    /// All of it but the generated region.
    All,
    /// Nothing.
    None,
    /// The sections under these headings.
    Headings(Vec<String>),
}

/// What an item is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// INDEX.md without its generated region.
    Index,
    /// A task's output or card, by id.
    Task(String),
    /// A document, by path.
    Doc(String),
}

/// A reference to an item: `index`, `task:ID` or `doc:PATH`, each with an optional `#Heading`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemRef {
    /// What it is about.
    pub subject: Subject,
    /// One section of it.
    pub heading: Option<String>,
}

impl ItemRef {
    /// A whole item.
    pub fn whole(subject: Subject) -> Self {
        ItemRef { subject, heading: None }
    }

    /// Reads a reference; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, heading) = split_heading(text);
        let subject = if name == "index" {
            Subject::Index
        } else if let Some(id) = name.strip_prefix("task:") {
            Subject::Task(id.to_owned())
        } else if let Some(path) = name.strip_prefix("doc:") {
            let path = crate::path::RelPath::parse(path).map_err(|problem| problem.message().to_owned())?;
            Subject::Doc(path.as_str().to_owned())
        } else {
            return Err(format!("`{text}` is no item; an item is `index`, `task:ID` or `doc:PATH`"));
        };
        Ok(ItemRef { subject, heading: heading.map(str::to_owned) })
    }

    /// Whether a word for this item (say, in `exclude`) covers `other`: the same, or a section of it.
    pub fn covers(&self, other: &ItemRef) -> bool {
        self.subject == other.subject && (self.heading.is_none() || self.heading == other.heading)
    }
}

impl fmt::Display for ItemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Index => f.write_str("index")?,
            Subject::Task(id) => write!(f, "task:{id}")?,
            Subject::Doc(path) => write!(f, "doc:{path}")?,
        }
        match &self.heading {
            Some(heading) => write!(f, "#{heading}"),
            None => Ok(()),
        }
    }
}

/// Splits `name#Heading` at the first `#`.
pub fn split_heading(text: &str) -> (&str, Option<&str>) {
    match text.split_once('#') {
        Some((name, heading)) => (name, Some(heading.trim())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_written_as_they_are_read() {
        for text in ["index", "index#Terms", "task:a/b", "task:a#One/Two", "doc:docs/x.md#Errors"] {
            assert_eq!(ItemRef::parse(text).map(|item| item.to_string()), Ok(text.to_owned()));
        }
        assert!(ItemRef::parse("collect").is_err());
        assert!(ItemRef::parse("doc:../x").is_err());
    }

    #[test]
    fn a_whole_item_covers_its_sections() {
        let parse = |text| ItemRef::parse(text).unwrap_or(ItemRef::whole(Subject::Index));
        assert!(parse("task:a").covers(&parse("task:a#X")));
        assert!(!parse("task:a#X").covers(&parse("task:a")));
        assert!(!parse("task:a").covers(&parse("doc:a")));
    }
}
