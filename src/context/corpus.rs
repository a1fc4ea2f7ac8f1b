//! The corpus: which terms stand in which passages. An inverted index over texts, by their content.
//!
//! Texts are only ever added, under their digest, so one changed document costs that document only.
//! A search names the texts that it means; statistics are over those alone. Kept as bytes
//! ([`Corpus::to_bytes`]) by whoever owns a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::digest::Digest;
use crate::text::{Format, Language, Passage, is_unspaced, passages, terms};

/// Words of a heading or title count this often.
const HEADING_WEIGHT: u32 = 2;

/// A text in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextIx(pub(super) usize);

/// The number of a term.
pub(super) type TermIx = u32;

/// One passage: the text it is of, its place among that text's passages, its terms.
#[derive(Debug)]
pub(super) struct Entry {
    /// Which passage of its text.
    pub(super) nth: usize,
    /// Its terms in all, headings weighted.
    pub(super) length: u32,
    /// Its terms and how often each is there, by number.
    pub(super) terms: Vec<(TermIx, u32)>,
}

/// A term and where it is.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) text: Box<str>,
    /// Whether it is of a script without spaces.
    pub(super) unspaced: bool,
    /// Entries and how often it is there.
    pub(super) postings: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct Known {
    language: Language,
    entries: std::ops::Range<usize>,
    used: bool,
}

/// Terms by passage and passages by term.
#[derive(Debug, Default)]
pub struct Corpus {
    texts: Vec<Known>,
    by_content: HashMap<(Digest, Format), TextIx>,
    pub(super) entries: Vec<Entry>,
    pub(super) vocabulary: Vec<Term>,
    by_term: HashMap<Box<str>, TermIx>,
    grown: bool,
    /// The passages of texts that somebody asked for, and how many bytes of text they are of.
    taken_apart: HashMap<TextIx, Arc<Vec<Passage>>>,
    bytes_apart: usize,
}

/// The most bytes of text whose passages are kept in memory.
const KEPT: usize = 64 * 1024 * 1024;

impl Corpus {
    /// The text of a digest, if it is in.
    pub fn find(&mut self, digest: Digest, path: &str) -> Option<TextIx> {
        let found = self.by_content.get(&(digest, Format::of(path))).copied()?;
        self.texts[found.0].used = true;
        Some(found)
    }

    /// Puts a text in, unless it is.
    pub fn add(&mut self, digest: Digest, path: &str, text: &str) -> TextIx {
        if let Some(known) = self.find(digest, path) {
            return known;
        }
        let language = Language::of(text);
        let from = self.entries.len();
        for (nth, passage) in passages(path, text).iter().enumerate() {
            let mut counts: BTreeMap<TermIx, u32> = BTreeMap::new();
            for (term, weight) in weighted(passage, language) {
                *counts.entry(self.intern(&term)).or_default() += weight;
            }
            self.enter(nth, counts.into_iter().collect());
        }
        self.grown = true;
        self.know(digest, Format::of(path), language, from, true)
    }

    fn know(
        &mut self,
        digest: Digest,
        format: Format,
        language: Language,
        from: usize,
        used: bool,
    ) -> TextIx {
        let ix = TextIx(self.texts.len());
        self.texts.push(Known { language, entries: from..self.entries.len(), used });
        self.by_content.insert((digest, format), ix);
        ix
    }

    fn enter(&mut self, nth: usize, terms: Vec<(TermIx, u32)>) {
        let at = self.entries.len() as u32;
        for (term, count) in &terms {
            self.vocabulary[*term as usize].postings.push((at, *count));
        }
        let length = terms.iter().map(|(_, count)| count).sum();
        self.entries.push(Entry { nth, length, terms });
    }

    fn intern(&mut self, term: &str) -> TermIx {
        if let Some(known) = self.by_term.get(term) {
            return *known;
        }
        let ix = self.vocabulary.len() as TermIx;
        self.by_term.insert(term.into(), ix);
        let unspaced = term.starts_with(is_unspaced);
        self.vocabulary.push(Term { text: term.into(), unspaced, postings: Vec::new() });
        ix
    }

    /// The number of a term that is somewhere.
    pub(super) fn term(&self, term: &str) -> Option<TermIx> {
        self.by_term.get(term).copied()
    }

    /// The entries of a text's passages.
    pub(super) fn entries_of(&self, text: TextIx) -> std::ops::Range<usize> {
        self.texts[text.0].entries.clone()
    }

    /// The languages of some texts.
    pub(super) fn languages_of(&self, texts: &[TextIx]) -> BTreeSet<Language> {
        texts.iter().map(|text| self.texts[text.0].language).collect()
    }

    /// The passages of a text that is in, given where it is and what it says.
    pub fn passages(&mut self, ix: TextIx, path: &str, text: &str) -> Arc<Vec<Passage>> {
        if let Some(known) = self.taken_apart.get(&ix) {
            return known.clone();
        }
        if self.bytes_apart + text.len() > KEPT {
            self.taken_apart.clear();
            self.bytes_apart = 0;
        }
        self.bytes_apart += text.len();
        let found = Arc::new(passages(path, text));
        self.taken_apart.insert(ix, found.clone());
        found
    }

    /// Whether there is something that the kept bytes do not have.
    pub fn grown(&self) -> bool {
        self.grown
    }

    /// The corpus as bytes. Texts that nobody asked for are left out once they are half of it.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        self.grown = false;
        let used = self.texts.iter().filter(|text| text.used).count();
        let all = self.texts.len() - used < used + SPARE;
        let kept = |ix: &TextIx| all || self.texts[ix.0].used;
        let mut texts: Vec<_> = self.by_content.iter().filter(|(_, ix)| kept(ix)).collect();
        texts.sort();
        // Terms that only texts have that are left out go with them.
        let mut numbers: Vec<Option<TermIx>> = vec![None; self.vocabulary.len()];
        let entries = texts.iter().flat_map(|(_, ix)| &self.entries[self.texts[ix.0].entries.clone()]);
        entries.flat_map(|entry| &entry.terms).for_each(|(term, _)| numbers[*term as usize] = Some(0));
        let left = (0..).zip(numbers.iter_mut().filter(|number| number.is_some()));
        left.for_each(|(next, number)| *number = Some(next));
        let mut bytes = Vec::new();
        put(&mut bytes, numbers.iter().flatten().count() as u64);
        for (term, _) in self.vocabulary.iter().zip(&numbers).filter(|(_, number)| number.is_some()) {
            put(&mut bytes, term.text.len() as u64);
            bytes.extend(term.text.as_bytes());
        }
        put(&mut bytes, texts.len() as u64);
        for ((digest, format), ix) in texts {
            let known = &self.texts[ix.0];
            bytes.extend(digest.as_bytes());
            bytes.extend(format_bytes(*format));
            bytes.push(known.language.number());
            put(&mut bytes, known.entries.len() as u64);
            for entry in &self.entries[known.entries.clone()] {
                put(&mut bytes, entry.terms.len() as u64);
                let mut before = 0;
                for (term, count) in &entry.terms {
                    // In the same order as before, so the steps stay small.
                    let term = numbers[*term as usize].unwrap_or_default();
                    put(&mut bytes, u64::from(term - before));
                    put(&mut bytes, u64::from(*count));
                    before = term;
                }
            }
        }
        bytes
    }

    /// The corpus of some bytes; `None` if they are not what [`Corpus::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut corpus = Corpus::default();
        let mut rest = bytes;
        for _ in 0..take(&mut rest)? {
            let length = usize::try_from(take(&mut rest)?).ok()?;
            let (term, after) = rest.split_at_checked(length)?;
            rest = after;
            corpus.intern(std::str::from_utf8(term).ok()?);
        }
        for _ in 0..take(&mut rest)? {
            let (digest, after) = rest.split_first_chunk::<32>()?;
            let (format, after) = after.split_first_chunk::<2>()?;
            let (language, after) = after.split_first()?;
            rest = after;
            let from = corpus.entries.len();
            for nth in 0..take(&mut rest)? {
                let count = take(&mut rest)?;
                let mut terms = Vec::with_capacity(usize::try_from(count).ok()?.min(rest.len()));
                let mut term = 0;
                for _ in 0..count {
                    term += u32::try_from(take(&mut rest)?).ok()?;
                    if term as usize >= corpus.vocabulary.len() {
                        return None;
                    }
                    terms.push((term, u32::try_from(take(&mut rest)?).ok()?));
                }
                corpus.enter(usize::try_from(nth).ok()?, terms);
            }
            let format = format_of(*format)?;
            corpus.know(Digest::from_bytes(*digest), format, Language::from_number(*language)?, from, false);
        }
        rest.is_empty().then_some(corpus)
    }
}

/// So many texts that nothing asked for are kept in any case.
const SPARE: usize = 64;

fn weighted(passage: &Passage, language: Language) -> impl Iterator<Item = (String, u32)> {
    let heads: Vec<String> = passage.headings.iter().flat_map(|heading| terms(heading, language)).collect();
    let body = terms(&passage.text, language);
    // A heading that is part of the text counts there once already.
    heads.into_iter().map(|term| (term, HEADING_WEIGHT - 1)).chain(body.into_iter().map(|term| (term, 1)))
}

fn format_bytes(format: Format) -> [u8; 2] {
    match format {
        Format::Markdown => [0, 0],
        Format::AsciiDoc => [1, 0],
        Format::ReStructuredText => [2, 0],
        Format::Json => [3, 0],
        Format::Yaml => [4, 0],
        Format::Csv(separator) => [5, separator],
        Format::Code => [6, 0],
    }
}

fn format_of(bytes: [u8; 2]) -> Option<Format> {
    Some(match bytes {
        [0, 0] => Format::Markdown,
        [1, 0] => Format::AsciiDoc,
        [2, 0] => Format::ReStructuredText,
        [3, 0] => Format::Json,
        [4, 0] => Format::Yaml,
        [5, separator] => Format::Csv(separator),
        [6, 0] => Format::Code,
        _ => return None,
    })
}

/// A number as LEB128: seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_survives_its_bytes() {
        let mut corpus = Corpus::default();
        for (path, text) in
            [("a.md", "# Meters\n\nCalibrate the meter."), ("b.csv", "x,y\n1,2\n"), ("c.md", "漢字")]
        {
            corpus.add(Digest::of(text), path, text);
        }
        let bytes = corpus.to_bytes();
        let mut again = Corpus::from_bytes(&bytes).unwrap_or_default();
        assert_eq!(again.to_bytes(), bytes);
        let meter = again.term("meter").map(|ix| again.vocabulary[ix as usize].postings.clone());
        // Twice in the text, once more as a heading.
        assert_eq!(meter.map(|postings| postings.iter().map(|(_, count)| *count).collect()), Some(vec![3]));
        for cut in 0..bytes.len() {
            assert!(Corpus::from_bytes(&bytes[..cut]).is_none());
        }
    }
}
