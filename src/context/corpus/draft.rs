//! A segment in the making: texts taken apart into terms, in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::TextKey;
use super::segment::{BLOCK, Damaged, Front, Segment, TEXT_BYTES, put, put_piece};
use crate::text::{Language, Passage, passages, terms};

/// Words of a heading or title count this often.
const HEADING_WEIGHT: u32 = 2;

#[derive(Debug)]
struct Text {
    key: TextKey,
    language: u8,
    /// The terms of each passage and how often each is there, by the numbers of terms.
    entries: Vec<Vec<(u32, u32)>>,
}

/// A text taken apart: the terms of each passage, and how often each is there.
pub(super) struct Apart {
    language: Language,
    entries: Vec<BTreeMap<String, u32>>,
}

impl Apart {
    pub(super) fn of(path: &str, text: &str) -> Self {
        let language = Language::of(text);
        let entry = |passage: &Passage| {
            let mut counts = BTreeMap::new();
            for (term, weight) in weighted(passage, language) {
                *counts.entry(term).or_default() += weight;
            }
            counts
        };
        Apart { language, entries: passages(path, text).iter().map(entry).collect() }
    }
}

/// Texts and their terms.
#[derive(Debug, Default)]
pub(super) struct Draft {
    texts: Vec<Text>,
    has: HashSet<TextKey>,
    terms: HashMap<Box<str>, u32>,
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub(super) fn has(&self, key: TextKey) -> bool {
        self.has.contains(&key)
    }

    /// Puts a text in.
    pub(super) fn add(&mut self, key: TextKey, text: Apart) {
        let mut numbered = |(term, count): (String, u32)| (self.number(&term), count);
        let mut entry = |terms: BTreeMap<String, u32>| terms.into_iter().map(&mut numbered).collect();
        let entries = text.entries.into_iter().map(&mut entry).collect();
        self.know(Text { key, language: text.language.number(), entries });
    }

    /// Puts in the texts of a segment that are to be kept.
    pub(super) fn take_over(
        &mut self,
        segment: &Segment,
        keep: impl Fn(usize) -> bool,
    ) -> Result<(), Damaged> {
        let numbers: Vec<u32> = segment.vocabulary()?.iter().map(|term| self.number(term)).collect();
        for at in (0..segment.texts()).filter(|at| keep(*at)) {
            let (Some(key), Some(language)) = (segment.key(at), segment.language(at)) else {
                return Err(Damaged);
            };
            if self.has(key) {
                continue;
            }
            let entry = |entry| {
                let list = segment.list(entry)?.into_iter();
                list.map(|(term, count)| Ok((*numbers.get(term as usize).ok_or(Damaged)?, count))).collect()
            };
            let entries: Result<_, _> = segment.entries_of(at).map(entry).collect();
            self.know(Text { key, language: language.number(), entries: entries? });
        }
        Ok(())
    }

    fn know(&mut self, text: Text) {
        self.has.insert(text.key);
        self.texts.push(text);
    }

    fn number(&mut self, term: &str) -> u32 {
        if let Some(known) = self.terms.get(term) {
            return *known;
        }
        let number = self.terms.len() as u32;
        self.terms.insert(term.into(), number);
        number
    }

    /// It as the bytes of a segment.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let entries = || self.texts.iter().flat_map(|text| &text.entries);
        // Terms that nothing has any more are left out.
        let mut found = vec![0u32; self.terms.len()];
        entries().flatten().for_each(|(term, _)| found[*term as usize] += 1);
        let mut terms: Vec<(&str, usize)> =
            self.terms.iter().map(|(text, number)| (&**text, *number as usize)).collect();
        terms.retain(|(_, number)| found[*number] > 0);
        terms.sort_unstable();

        // Where the postings of each term are among those of all.
        let mut ends = vec![0usize; self.terms.len()];
        let mut ranks = vec![0u32; self.terms.len()];
        let mut all = 0;
        for (rank, (_, number)) in terms.iter().enumerate() {
            (ends[*number], ranks[*number]) = (all, rank as u32);
            all += found[*number] as usize;
        }
        let mut postings = vec![(0u32, 0u32); all];
        let (mut heads, mut lists, mut list) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, own) in entries().enumerate() {
            list.clear();
            for (term, count) in own {
                let end = &mut ends[*term as usize];
                postings[*end] = (entry as u32, *count);
                *end += 1;
                list.push((ranks[*term as usize], *count));
            }
            list.sort_unstable();
            let length: u32 = list.iter().map(|(_, count)| count).sum();
            heads.extend(length.to_le_bytes());
            heads.extend((lists.len() as u64).to_le_bytes());
            put_piece(&mut lists, |bytes| put_steps(bytes, &list));
        }

        let (mut index, mut blocks, mut posted) = (Vec::new(), Vec::new(), Vec::new());
        for block in terms.chunks(BLOCK) {
            let first = block.first().map_or("", |(text, _)| text);
            put(&mut index, first.len() as u64);
            index.extend(first.as_bytes());
            let from = blocks.len();
            put_piece(&mut blocks, |bytes| {
                put(bytes, posted.len() as u64);
                for (text, number) in block {
                    let (end, count) = (ends[*number], found[*number]);
                    let from = posted.len();
                    put_piece(&mut posted, |bytes| put_steps(bytes, &postings[end - count as usize..end]));
                    put(bytes, text.len() as u64);
                    bytes.extend(text.as_bytes());
                    put(bytes, u64::from(count));
                    put(bytes, (posted.len() - from) as u64);
                }
            });
            put(&mut index, (blocks.len() - from) as u64);
        }

        let mut texts = Vec::with_capacity(self.texts.len() * TEXT_BYTES);
        let mut first = 0u32;
        for text in &self.texts {
            texts.extend(text.key.as_bytes());
            texts.push(text.language);
            texts.extend(first.to_le_bytes());
            first += text.entries.len() as u32;
        }
        let mut by_key: Vec<usize> = (0..self.texts.len()).collect();
        by_key.sort_by_key(|at| self.texts[*at].key);
        let by_key: Vec<u8> = by_key.into_iter().flat_map(|at| (at as u32).to_le_bytes()).collect();
        let head = [texts, by_key, heads, index].concat();
        let front = Front {
            texts: self.texts.len(),
            entries: first as usize,
            head: head.len(),
            blocks: blocks.len(),
            postings: posted.len(),
            lists: lists.len(),
        };
        [front.to_bytes(&head), head, blocks, posted, lists].concat()
    }
}

/// Numbers in order, each as its step from the one before, with their counts.
fn put_steps(bytes: &mut Vec<u8>, pairs: &[(u32, u32)]) {
    let mut before = 0;
    for (number, count) in pairs {
        put(bytes, u64::from(number - before));
        put(bytes, u64::from(*count));
        before = *number;
    }
}

fn weighted(passage: &Passage, language: Language) -> impl Iterator<Item = (String, u32)> {
    let heads: Vec<String> = passage.headings.iter().flat_map(|heading| terms(heading, language)).collect();
    let body = terms(&passage.text, language);
    // A heading that is part of the text counts there once already.
    heads.into_iter().map(|term| (term, HEADING_WEIGHT - 1)).chain(body.into_iter().map(|term| (term, 1)))
}
