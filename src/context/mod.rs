//! Graph and [`Shelf`] to [`Bundle`]: gather, shorten, budget. Also the prompt, since an item that a
//! prompt takes in place is not in the bundle again.
//!
//! Everything here is a pure function of the graph and of the texts on the shelf.

mod assemble;
mod budget;
mod corpus;
mod fence;
mod gather;
mod prompt;
mod retrieve;
mod search;
mod shorten;

use std::cell::RefMut;
use std::fmt;
use std::sync::Arc;

pub use assemble::assemble;
pub use budget::fill;
pub use corpus::{Corpus, Damaged, Pieces, TextIx, TextKey};
pub use fence::{Fenced, fenced, parse_fenced, safe, stable_prefix};
pub use gather::{Candidate, Gathered, Source, card, card_of, gather, recipe, searchable};
pub use prompt::{FUEL, Prompt, check_prompts, explain, no_heading, render_prompt};
pub use retrieve::{Judged, Searched, first, look_up};
pub use search::{Found, Results, search};
pub use shorten::{MARK, Query, excerpt, ranked};

use crate::digest::{Digest, Framer};
use crate::path::RelPath;
use crate::spec::{Embed, ItemRef, Tier, TokenizerName};
use crate::text::Format;

/// The largest document that may be read, in bytes: far over any model's context.
pub const LARGEST_DOCUMENT: u64 = 16 * 1024 * 1024;

/// The one way in which pure rooms see the world.
///
/// Names are paths. Texts are in normal form; INDEX.md comes without its generated region.
pub trait Shelf {
    /// The digest of a text, `None` if there is no such file.
    fn digest(&self, path: &RelPath) -> Result<Option<Digest>, Unreadable>;

    /// A text, `None` if there is no such file.
    fn text(&self, path: &RelPath) -> Result<Option<Arc<str>>, Unreadable>;

    /// One digest over some texts with their names; an implementation may remember it.
    fn digest_of_all(&self, paths: &Arc<Vec<RelPath>>) -> Digest {
        digest_of_all(self, paths)
    }

    /// The tokens of a text; an implementation may remember them.
    fn count(&self, tokenizer: TokenizerName, text: &str) -> usize {
        crate::text::count(tokenizer, text)
    }

    /// The corpus that searches use; texts that it lacks are put in.
    fn corpus(&self) -> RefMut<'_, Corpus>;

    /// So many texts of all were looked at for the corpus: where it lacks many, a person waits. At the end it is all.
    fn indexing(&self, done: usize, all: usize) {
        let _ = (done, all);
    }

    /// The vectors of texts by a model, one for each; all of one length.
    fn vectors(&self, embed: &Embed, texts: &[String]) -> Result<Vec<Vec<f32>>, Trouble> {
        let _ = texts;
        Err(Trouble::new(
            format!("no vectors of `{}` are here", embed.model),
            "leave `retrieve.embed` out to search by words alone",
        ))
    }
}

/// One digest over some texts with their names; what gives no text counts as absent.
pub fn digest_of_all(shelf: &(impl Shelf + ?Sized), paths: &[RelPath]) -> Digest {
    let mut framer = Framer::new("meu texts v1");
    for path in paths {
        let digest = shelf.digest(path).ok().flatten();
        framer.field(path.as_str()).maybe(digest.as_ref().map(Digest::as_bytes));
    }
    framer.finish()
}

/// Why a file gives no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its bytes are no UTF-8; the offset of the first bad one.
    NotUtf8 {
        /// Bytes from the file's start.
        at: usize,
        /// Whether it begins with a mark of UTF-16.
        utf16: bool,
    },
    /// It is larger than [`LARGEST_DOCUMENT`].
    TooLarge(u64),
    /// It lies outside the project, by a symlink.
    Outside,
    /// It is a symlink to what is no document.
    Alias(String),
    /// It is a folder or a device.
    NoFile,
    /// The system says no.
    Io(String),
    /// INDEX.md has a marker without its partner, in this line.
    Markers(usize),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::NotUtf8 { utf16: true, .. } => {
                f.write_str("it is UTF-16; save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)")
            }
            Unreadable::NotUtf8 { at, .. } => {
                write!(f, "it is not UTF-8 text: the byte at offset {at} is wrong")
            }
            Unreadable::TooLarge(size) => write!(
                f,
                "it has {size} bytes and a document may have {LARGEST_DOCUMENT}; take a part of it out into a file"
            ),
            Unreadable::Outside => f.write_str("it is a symlink that leads out of the project"),
            Unreadable::Alias(real) => write!(f, "it is a symlink to `{real}`, which is no document"),
            Unreadable::NoFile => f.write_str("it is not a file"),
            Unreadable::Io(message) => f.write_str(message),
            Unreadable::Markers(line) => {
                write!(f, "line {line} has a `meu:contents` marker without its partner; restore or remove it")
            }
        }
    }
}

/// In which form an item is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Whole.
    Full,
    /// The sentences that matter most.
    Shortened,
    /// A task's title and the first paragraph of its prompt.
    Card,
}

impl Form {
    /// The form as it is written.
    pub fn word(self) -> &'static str {
        match self {
            Form::Full => "full",
            Form::Shortened => "shortened",
            Form::Card => "card",
        }
    }
}

/// One item of a bundle.
#[derive(Clone, Debug)]
pub struct Item {
    /// What it is.
    pub item: ItemRef,
    /// Why it is there.
    pub tier: Tier,
    /// Its form.
    pub form: Form,
    /// Whether a person pinned it.
    pub pinned: bool,
    /// The tokens of its block as it is sent, fence included.
    pub tokens: usize,
    /// The tokens that its block would have whole.
    pub tokens_full: usize,
    /// The format of the document or output that it is of.
    pub format: Format,
    /// Its text as it is sent, without the fence.
    pub text: String,
    /// Its text in its fence.
    pub block: String,
}

impl Item {
    /// The digest of its text as it is sent.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }
}

/// One candidate that is not in a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// What it is.
    pub item: ItemRef,
    /// Why it was a candidate.
    pub tier: Tier,
    /// Why it is not in.
    pub reason: String,
    /// The tokens that its block would have whole; 0 if there is no text.
    pub tokens_full: usize,
}

/// The items chosen for one task, in order.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// The items.
    pub items: Vec<Item>,
    /// The candidates that are not in.
    pub dropped: Vec<Dropped>,
    /// The tokens of all blocks, never over the budget.
    pub used: usize,
    /// What the retriever found, the best first: what it chose, and what nearly was.
    pub hits: Vec<Hit>,
}

/// A passage that the retriever found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// What it is.
    pub item: ItemRef,
    /// Its place among all that were found, from 1.
    pub rank: usize,
    /// Its score, above zero.
    pub score: f64,
    /// The terms of title and prompt that it has, the telling ones first.
    pub matched: Vec<String>,
    /// Why it was not chosen, if so.
    pub passed_over: Option<String>,
}

/// Why no request can be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl Trouble {
    /// Trouble with a way out.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Trouble { message: message.into(), help: Some(help.into()) }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}
