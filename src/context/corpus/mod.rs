//! The corpus: which terms stand in which passages. An inverted index over texts, by their content.
//!
//! Texts are only ever added, under their digest, so one changed document costs that document only.
//! A search names the texts that it means; statistics are over those alone.
//!
//! It is kept in segments that never change (see [`segment`]): what is new makes one of its own, and those of
//! like size are made one, so that there are few (a log-structured merge: O'Neil and others, 1996; the
//! logarithmic method: Bentley and Saxe, 1980). A segment is read piece by piece, as a search needs it.

mod draft;
mod segment;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::cores::on_all_cores;
use crate::digest::Digest;
use crate::text::{Format, Language, Passage, passages};
use draft::{Apart, Draft};
use segment::Segment;
pub use segment::{Damaged, Pieces};

/// A text in the corpus, until texts are put in or taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextIx(u32);

/// What a text is known by: its content, and the format it is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextKey([u8; TextKey::BYTES]);

impl TextKey {
    /// How long it is.
    pub const BYTES: usize = 34;

    /// The key of a text, given its digest and where it is.
    pub fn of(digest: Digest, path: &str) -> Self {
        let format = match Format::of(path) {
            Format::Markdown => [0, 0],
            Format::AsciiDoc => [1, 0],
            Format::ReStructuredText => [2, 0],
            Format::Json => [3, 0],
            Format::Yaml => [4, 0],
            Format::Csv(separator) => [5, separator],
            Format::Code => [6, 0],
        };
        let mut key = [0; TextKey::BYTES];
        key[..32].copy_from_slice(digest.as_bytes());
        key[32..].copy_from_slice(&format);
        TextKey(key)
    }

    /// It, to be kept.
    pub fn as_bytes(&self) -> &[u8; TextKey::BYTES] {
        &self.0
    }

    /// One that was kept.
    pub fn from_bytes(bytes: [u8; TextKey::BYTES]) -> Self {
        TextKey(bytes)
    }
}

/// An entry and how often a term is there, by entry.
pub(super) type Postings = Vec<(u32, u32)>;

/// Terms by passage and passages by term. An entry is a passage, by its number among all.
#[derive(Debug, Default)]
pub struct Corpus {
    /// The largest first.
    segments: Vec<Segment>,
    /// What was put in and is in no segment.
    draft: Draft,
    /// The segments that are kept, and what is kept beside them and of no use.
    kept: HashSet<Digest>,
    useless: HashSet<Digest>,
    /// The passages of texts that somebody asked for, and how many bytes of text they are of.
    taken_apart: HashMap<TextKey, Arc<Vec<Passage>>>,
    bytes_apart: usize,
}

/// The most bytes of text whose passages are kept in memory.
const KEPT: usize = 64 * 1024 * 1024;

/// So many texts that nothing asked for are kept in any case.
const SPARE: usize = 64;

impl Corpus {
    /// The corpus of some segments; what is none is left out.
    pub fn of(segments: impl IntoIterator<Item = Box<dyn Pieces>>) -> Self {
        let mut segments: Vec<Segment> = segments.into_iter().filter_map(Segment::open).collect();
        segments.sort_by_key(|segment| std::cmp::Reverse((segment.entries(), segment.name())));
        let kept = segments.iter().map(Segment::name).collect();
        Corpus { segments, kept, ..Corpus::default() }
    }

    /// What its segments are known by.
    pub fn names(&self) -> HashSet<Digest> {
        self.segments.iter().map(Segment::name).collect()
    }

    /// The segments that came up here and are not kept: their names and bytes.
    pub fn new_segments(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        let new = self.segments.iter().filter(|segment| !self.kept.contains(&segment.name()));
        new.filter_map(|segment| Some((segment.name(), segment.in_memory()?)))
    }

    /// Segments that are kept and need not be.
    pub fn useless(&self) -> HashSet<Digest> {
        let names = self.names();
        self.kept.union(&self.useless).filter(|kept| !names.contains(kept)).copied().collect()
    }

    /// All of it is kept now, and nothing else.
    pub fn set_kept(&mut self) {
        self.kept = self.names();
        self.useless.clear();
    }

    /// Puts texts in that are not, given where they are and what they say. [`Corpus::settle`] is needed before they
    /// are found.
    pub fn add(&mut self, texts: &[(TextKey, &str, &str)]) {
        let mut own = HashSet::new();
        let mut is_new = |key| self.find(key).is_none() && !self.draft.has(key) && own.insert(key);
        let new: Vec<_> = texts.iter().filter(|(key, ..)| is_new(*key)).collect();
        let apart = on_all_cores(&new, 1, |(_, path, text)| Apart::of(path, text));
        for ((key, ..), text) in new.into_iter().zip(apart) {
            self.draft.add(*key, text);
        }
    }

    /// Makes what was put in since the last time a segment.
    pub fn settle(&mut self) {
        if self.draft.is_empty() {
            return;
        }
        self.segments.extend(Segment::of(&std::mem::take(&mut self.draft)));
        while let [.., larger, last] = &self.segments[..]
            && 2 * last.entries() >= larger.entries()
        {
            // Of two that have a text each, one is enough; a damaged one shows when it is searched.
            let Some(one) = merged(&[larger, last], |_, _| true) else { break };
            self.segments.truncate(self.segments.len() - 2);
            self.segments.push(one);
        }
    }

    /// Takes out what no search of this process looked through, once it is more than the rest and `others`: so many
    /// texts others may look for.
    pub fn tidy(&mut self, others: usize) {
        let used: usize = self.segments.iter().map(Segment::used).sum();
        let all: usize = self.segments.iter().map(Segment::texts).sum();
        if all - used >= used + SPARE + others {
            let segments: Vec<&Segment> = self.segments.iter().collect();
            // A damaged one shows when it is searched.
            if let Some(one) = merged(&segments, Segment::is_used) {
                self.segments = vec![one];
            }
        }
    }

    /// Takes out the segments of which something was damaged when it was read.
    pub fn drop_damaged(&mut self) {
        self.drop_segments(Segment::is_damaged);
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.drop_segments(|_| true);
    }

    fn drop_segments(&mut self, which: impl Fn(&Segment) -> bool) {
        for segment in self.segments.extract_if(.., |segment| which(segment)) {
            // One like it that comes up anew is to be kept in its place.
            self.kept.remove(&segment.name());
            self.useless.insert(segment.name());
        }
    }

    /// A text, if it is in.
    pub fn find(&mut self, key: TextKey) -> Option<TextIx> {
        let mut before = 0;
        for segment in &mut self.segments {
            if let Some(at) = segment.find(key) {
                segment.set_used(at);
                return Some(TextIx(before + at as u32));
            }
            before += segment.texts() as u32;
        }
        None
    }

    /// The segment that a text is in, which of its texts it is, and the entries before that segment.
    fn segment_of(&self, TextIx(text): TextIx) -> Option<(&Segment, usize, usize)> {
        let (mut at, mut entries) = (text as usize, 0);
        for segment in &self.segments {
            if at < segment.texts() {
                return Some((segment, at, entries));
            }
            at -= segment.texts();
            entries += segment.entries();
        }
        None
    }

    /// The entries of a text's passages.
    pub(super) fn entries_of(&self, text: TextIx) -> Range<usize> {
        self.segment_of(text).map_or(0..0, |(segment, at, before)| {
            let own = segment.entries_of(at);
            before + own.start..before + own.end
        })
    }

    /// The languages of some texts.
    pub(super) fn languages_of(&self, texts: &[TextIx]) -> BTreeSet<Language> {
        let known = |text: &TextIx| self.segment_of(*text).and_then(|(segment, at, _)| segment.language(at));
        texts.iter().filter_map(known).collect()
    }

    /// How many terms each entry has in all, headings weighted, in the order of entries.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().flat_map(Segment::lengths)
    }

    /// How many entries have a term.
    pub(super) fn frequency(&self, term: &str) -> Result<usize, Damaged> {
        self.segments.iter().map(|segment| segment.frequency(term)).sum()
    }

    /// The entries that have a term.
    pub(super) fn postings(&self, term: &str) -> Result<Postings, Damaged> {
        let mut all = Vec::new();
        let mut before = 0;
        for segment in &self.segments {
            segment.postings(term, before, &mut all)?;
            before += segment.entries() as u32;
        }
        Ok(all)
    }

    /// The terms of an entry and how often each is there.
    pub(super) fn terms_of(&self, mut entry: usize) -> Result<Vec<(Arc<str>, u32)>, Damaged> {
        for segment in &self.segments {
            if entry < segment.entries() {
                return segment.terms_of(entry);
            }
            entry -= segment.entries();
        }
        Err(Damaged)
    }

    /// The passages of a text, given where it is and what it says.
    pub fn passages(&mut self, key: TextKey, path: &str, text: &str) -> Arc<Vec<Passage>> {
        if let Some(known) = self.taken_apart.get(&key) {
            return known.clone();
        }
        if self.bytes_apart + text.len() > KEPT {
            self.taken_apart.clear();
            self.bytes_apart = 0;
        }
        self.bytes_apart += text.len();
        let found = Arc::new(passages(path, text));
        self.taken_apart.insert(key, found.clone());
        found
    }
}

/// One segment of some texts of several; `None` if one of those is damaged, or nothing is left.
fn merged(segments: &[&Segment], keep: impl Fn(&Segment, usize) -> bool) -> Option<Segment> {
    let mut draft = Draft::default();
    for segment in segments {
        draft.take_over(segment, |at| keep(segment, at)).ok()?;
    }
    let mut one = Segment::of(&draft)?;
    for segment in segments {
        for at in (0..segment.texts()).filter(|at| segment.is_used(*at)) {
            if let Some(at) = one.find(segment.key(at)?) {
                one.set_used(at);
            }
        }
    }
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::search::search;
    use crate::spec::Ranking;

    const TEXTS: [(&str, &str); 4] = [
        ("a.md", "# Meters\n\nCalibrate the meter."),
        ("b.csv", "x,y\n1,2\n"),
        ("c.md", "漢字"),
        ("d.md", "# Tools\n\nA meter, a hammer and a saw.\n\n# Food\n\nBread."),
    ];

    fn key(at: usize) -> TextKey {
        TextKey::of(Digest::of(TEXTS[at].1), TEXTS[at].0)
    }

    /// The corpus of some texts, each added by itself.
    fn corpus(texts: impl IntoIterator<Item = usize>) -> Corpus {
        let mut corpus = Corpus::default();
        for at in texts {
            corpus.add(&[(key(at), TEXTS[at].0, TEXTS[at].1)]);
            corpus.settle();
        }
        corpus
    }

    fn again(corpus: &Corpus) -> Corpus {
        let bytes = corpus.new_segments().map(|(_, bytes)| bytes.to_vec());
        Corpus::of(bytes.map(|bytes| Box::new(bytes) as Box<dyn Pieces>))
    }

    fn of_term(corpus: &mut Corpus, term: &str) -> Vec<(usize, u32)> {
        let postings = corpus.postings(term).unwrap_or_default();
        let ixs: Vec<TextIx> = (0..TEXTS.len()).filter_map(|at| corpus.find(key(at))).collect();
        let text = |entry: u32| ixs.iter().position(|ix| corpus.entries_of(*ix).contains(&(entry as usize)));
        let mut found: Vec<_> = postings.iter().filter_map(|(entry, n)| Some((text(*entry)?, *n))).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn texts_put_in_together_are_what_they_are_one_by_one() {
        let all = [3, 1, 1, 2, 0, 2].map(|at: usize| (key(at), TEXTS[at].0, TEXTS[at].1));
        let (mut together, mut apart) = (Corpus::default(), Corpus::default());
        together.add(&all);
        together.add(&all[2..4]);
        all.iter().for_each(|text| apart.add(&[*text]));
        together.settle();
        apart.settle();
        assert_eq!(together.names(), apart.names());
        assert!((0..4).all(|at| together.find(key(at)).is_some()));
    }

    #[test]
    fn what_is_put_in_is_found_whatever_segments_it_is_in() {
        let mut one = Corpus::default();
        TEXTS.iter().enumerate().for_each(|(at, (path, text))| one.add(&[(key(at), path, text)]));
        assert_eq!(one.find(key(0)), None, "not settled");
        one.settle();
        for mut corpus in [again(&one), again(&corpus(0..4)), again(&corpus([3, 1, 2, 0])), one] {
            // In the first twice in the text, once more as a heading; in the last once.
            assert_eq!(of_term(&mut corpus, "meter"), [(0, 3), (3, 1)]);
            assert_eq!(corpus.frequency("meter"), Ok(2));
            assert_eq!(corpus.frequency("mete"), Ok(0));
            assert_eq!(of_term(&mut corpus, "bread"), [(3, 1)]);
            let text = corpus.find(key(0)).map(|ix| corpus.entries_of(ix)).unwrap_or_default();
            let terms = corpus.terms_of(text.start).unwrap_or_default();
            let terms: Vec<_> = terms.iter().map(|(term, count)| (&**term, *count)).collect();
            assert_eq!(terms, [("calibr", 1), ("meter", 3)]);
            assert_eq!(corpus.lengths().nth(text.start), Some(4));
        }
    }

    /// Texts of one passage each.
    fn words(count: usize) -> Vec<(TextKey, String)> {
        let texts = (0..count).map(|at| format!("word{at}"));
        texts.map(|text| (TextKey::of(Digest::of(&text), "a.md"), text)).collect()
    }

    #[test]
    fn segments_of_like_size_become_one() {
        let mut corpus = Corpus::default();
        let mut sizes = Vec::new();
        for (key, text) in words(7) {
            corpus.add(&[(key, "a.md", &text)]);
            corpus.settle();
            sizes.push(corpus.segments.iter().map(Segment::entries).collect::<Vec<_>>());
        }
        // Twice the last is as much as the one before it, or they stay two.
        assert_eq!(sizes, [vec![1], vec![2], vec![3], vec![3, 1], vec![5], vec![5, 1], vec![5, 2]]);
    }

    #[test]
    fn what_nobody_asks_for_goes_in_the_end() {
        let mut whole = Corpus::default();
        let texts = words(SPARE + 4);
        texts.iter().for_each(|(key, text)| whole.add(&[(*key, "a.md", text)]));
        whole.settle();
        let mut corpus = again(&whole);
        assert!(texts[..3].iter().all(|(key, _)| corpus.find(*key).is_some()));
        corpus.tidy(0);
        assert_eq!(corpus.lengths().count(), SPARE + 4, "3 are asked for, one less than {SPARE} + 3 are not");
        let mut corpus = again(&whole);
        assert!(texts[..2].iter().all(|(key, _)| corpus.find(*key).is_some()));
        corpus.tidy(1);
        assert_eq!(corpus.lengths().count(), SPARE + 4, "one more may be looked for by others");
        corpus.tidy(0);
        assert_eq!(corpus.lengths().count(), 2);
        assert_eq!(corpus.frequency("word1"), Ok(1));
    }

    #[test]
    fn who_asked_for_what_outlives_a_merge() {
        let mut corpus = Corpus::default();
        let (asked, others) = (words(10), words(SPARE + 40).split_off(10));
        for texts in [&asked, &others] {
            texts.iter().for_each(|(key, text)| corpus.add(&[(*key, "a.md", text)]));
            corpus.settle();
            if corpus.find(others[0].0).is_none() {
                assert!(asked.iter().all(|(key, _)| corpus.find(*key).is_some()));
            }
        }
        assert_eq!(corpus.segments.len(), 1);
        corpus.tidy(0);
        // The ten, and the one that was looked for above.
        assert_eq!(corpus.lengths().count(), 11);
    }

    #[test]
    fn of_two_segments_the_damaged_one_goes() {
        let mut whole = Corpus::default();
        for texts in [&words(5)[..], &words(6)[5..]] {
            texts.iter().for_each(|(key, text)| whole.add(&[(*key, "a.md", text)]));
            whole.settle();
        }
        let mut bytes: Vec<Vec<u8>> = whole.new_segments().map(|(_, bytes)| bytes.to_vec()).collect();
        let Some(last) = bytes[1].last_mut() else { panic!("no bytes") };
        *last ^= 1;
        let mut corpus = Corpus::of(bytes.into_iter().map(|bytes| Box::new(bytes) as Box<dyn Pieces>));
        assert_eq!(corpus.terms_of(5), Err(Damaged));
        corpus.drop_damaged();
        assert_eq!((corpus.lengths().count(), corpus.useless().len()), (5, 1));
        // The same made anew is to be kept.
        let (key, text) = &words(6)[5];
        corpus.add(&[(*key, "a.md", text)]);
        corpus.settle();
        assert_eq!((corpus.new_segments().count(), corpus.useless().len()), (1, 0));
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let mut whole = Corpus::default();
        TEXTS.iter().enumerate().for_each(|(at, (path, text))| whole.add(&[(key(at), path, text)]));
        whole.settle();
        let Some((_, bytes)) = whole.new_segments().next() else { panic!("no segment") };
        let found = |corpus: &mut Corpus| {
            let texts: Option<Vec<TextIx>> = (0..4).map(|at| corpus.find(key(at))).collect();
            Some(search(corpus, &texts?, "meter and bread 漢字", Ranking::TfIdf).ok()?.found)
        };
        let right = found(&mut again(&whole));
        // All but the table: short sections make one passage.
        assert_eq!(right.as_ref().map(Vec::len), Some(3));
        let mut seen = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            let now = found(&mut Corpus::of([Box::new(damaged) as Box<dyn Pieces>]));
            assert!(now.is_none() || now == right, "byte {at}");
            seen += usize::from(now.is_none());
            assert!(Segment::open(Box::new(bytes[..at].to_vec())).is_none(), "cut at {at}");
        }
        // What this query does not read may be as damaged as it likes.
        assert!(2 * seen > bytes.len(), "{seen} of {}", bytes.len());
    }
}
