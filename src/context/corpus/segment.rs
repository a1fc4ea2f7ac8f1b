//! A segment of the corpus: an index over some texts that never changes, read piece by piece.
//!
//! ```text
//! "meu corpus 3\n"  how many texts, entries; bytes of head, blocks, postings, lists (u64 each)
//!                   BLAKE3 of those numbers and the head
//! head      texts as they came in: key, language (u8), first entry (u32)
//!           the numbers of texts (u32) by key
//!           entries: how many terms in all (u32), where its list begins (u64)
//!           index: the first term of each block, the block's length
//! blocks    for so many terms in order: where the postings of the first are, then for each its text, how many
//!           entries have it, the length of its postings
//! postings  for each term: the entries that have it, how often
//! lists     for each entry: the terms that it has, by number in order, how often
//! ```
//!
//! Fixed numbers are little endian, all others LEB128; those in order are steps from the one before. A block, the
//! postings of a term and the list of an entry are pieces: each begins with 8 bytes of its BLAKE3. So what is read
//! is checked, and what is not read costs nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::draft::Draft;
use super::{Postings, TextKey};
use crate::digest::Digest;
use crate::text::Language;

/// Changed whenever terms or passages of a text would come out otherwise.
const MAGIC: &[u8] = b"meu corpus 3\n";

/// How many terms a block has.
pub(super) const BLOCK: usize = 32;

/// How many bytes of the head are a text's, an entry's.
pub(super) const TEXT_BYTES: usize = TextKey::BYTES + 1 + 4;
const ENTRY_BYTES: usize = 4 + 8;

/// How many bytes of a piece are its checksum.
const SUM: usize = 8;

/// Bytes that are read in pieces.
pub trait Pieces: std::fmt::Debug {
    /// So many bytes from a place; `None` if they cannot be read.
    fn read(&self, at: u64, length: usize) -> Option<Vec<u8>>;

    /// All, if they are in memory.
    fn in_memory(&self) -> Option<&[u8]>;
}

impl Pieces for Vec<u8> {
    fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        Some(self.get(usize::try_from(at).ok()?..)?.get(..length)?.to_vec())
    }

    fn in_memory(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// What is kept is not what was written. It only saves work, so it is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// What a segment begins with: how many there are of each, and how many bytes.
pub(super) struct Front {
    pub(super) texts: usize,
    pub(super) entries: usize,
    pub(super) head: usize,
    pub(super) blocks: usize,
    pub(super) postings: usize,
    pub(super) lists: usize,
}

impl Front {
    const NUMBERS: usize = 6 * 8;
    const BYTES: usize = MAGIC.len() + Front::NUMBERS + 32;

    /// It and the checksum of the head.
    pub(super) fn to_bytes(&self, head: &[u8]) -> Vec<u8> {
        let Front { texts, entries, head: length, blocks, postings, lists } = *self;
        let numbers = [texts, entries, length, blocks, postings, lists];
        let numbers = numbers.map(|number| (number as u64).to_le_bytes());
        let sum = Digest::of([numbers.as_flattened(), head].concat());
        [MAGIC, numbers.as_flattened(), sum.as_bytes()].concat()
    }

    /// What some bytes begin with, and the checksum of the head.
    fn read(pieces: &dyn Pieces) -> Option<(Front, Vec<u8>, Digest)> {
        let bytes = pieces.read(0, Front::BYTES)?;
        let (numbers, sum) = bytes.strip_prefix(MAGIC)?.split_at_checked(Front::NUMBERS)?;
        let mut each =
            numbers.as_chunks::<8>().0.iter().map(|number| usize::try_from(u64::from_le_bytes(*number)).ok());
        let mut next = || each.next().flatten();
        let front = Front {
            texts: next()?,
            entries: next()?,
            head: next()?,
            blocks: next()?,
            postings: next()?,
            lists: next()?,
        };
        Some((front, numbers.to_vec(), Digest::from_bytes(sum.try_into().ok()?)))
    }
}

/// A term, how many entries have it, and where its postings are.
#[derive(Clone, Debug)]
struct Term {
    text: Arc<str>,
    count: u32,
    postings: Range<u64>,
}

/// An index over some texts.
#[derive(Debug)]
pub(super) struct Segment {
    pieces: Box<dyn Pieces>,
    name: Digest,
    is_damaged: Cell<bool>,
    head: Vec<u8>,
    texts: usize,
    entries: usize,
    /// The first term of each block, and where the block is.
    index: Vec<(Box<str>, Range<u64>)>,
    postings_at: u64,
    lists: Range<u64>,
    /// The texts that somebody asked for, and the one after the last of them.
    used: Vec<bool>,
    next: usize,
    /// The blocks that were read.
    blocks: RefCell<HashMap<usize, Rc<Vec<Term>>>>,
}

impl Segment {
    /// The segment of a draft, in memory; `None` if there is nothing in it.
    pub(super) fn of(draft: &Draft) -> Option<Segment> {
        if draft.is_empty() { None } else { Segment::open(Box::new(draft.to_bytes())) }
    }

    /// The segment in some bytes. `None` if they hold none, or not all of one.
    pub(super) fn open(pieces: Box<dyn Pieces>) -> Option<Segment> {
        let (front, numbers, name) = Front::read(&*pieces)?;
        let Front { texts, entries, .. } = front;
        let head = pieces.read(Front::BYTES as u64, front.head)?;
        if Digest::of_all_in(numbers.chain(&head[..])).ok()? != name {
            return None;
        }
        let blocks_at = (Front::BYTES + front.head) as u64;
        let postings_at = blocks_at + front.blocks as u64;
        let lists_at = postings_at + front.postings as u64;
        let lists = lists_at..lists_at + front.lists as u64;
        // That it was cut off shows here.
        pieces.read(lists.end.checked_sub(1)?, 1)?;
        let mut index = Vec::new();
        let mut rest = head.get(texts * (TEXT_BYTES + 4) + entries * ENTRY_BYTES..)?;
        let mut at = blocks_at;
        while !rest.is_empty() {
            let first = take_text(&mut rest)?.into();
            let length = take(&mut rest)?;
            index.push((first, at..at + length));
            at += length;
        }
        let blocks = RefCell::default();
        let used = vec![false; texts];
        Some(Segment {
            pieces,
            is_damaged: Cell::new(false),
            name,
            head,
            texts,
            entries,
            index,
            postings_at,
            lists,
            used,
            next: 0,
            blocks,
        })
    }

    /// What it is known by: the checksum of its head, which has the keys of all its texts.
    pub(super) fn name(&self) -> Digest {
        self.name
    }

    /// Whether something that was read of it is not what was written.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.get()
    }

    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        self.pieces.in_memory()
    }

    /// How many texts it has.
    pub(super) fn texts(&self) -> usize {
        self.texts
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// How many texts somebody asked for.
    pub(super) fn used(&self) -> usize {
        self.used.iter().filter(|used| **used).count()
    }

    pub(super) fn is_used(&self, text: usize) -> bool {
        self.used[text]
    }

    pub(super) fn set_used(&mut self, text: usize) {
        self.used[text] = true;
    }

    /// What the head says of a text: its key, its language, its first entry.
    fn text(&self, text: usize) -> Option<(&[u8; TextKey::BYTES], u8, u32)> {
        let own = self.head[..self.texts * TEXT_BYTES].get(text * TEXT_BYTES..)?;
        let (key, rest) = own.split_first_chunk()?;
        let (language, rest) = rest.split_first()?;
        Some((key, *language, u32::from_le_bytes(*rest.first_chunk()?)))
    }

    /// The key of a text.
    pub(super) fn key(&self, text: usize) -> Option<TextKey> {
        self.text(text).map(|(key, ..)| TextKey::from_bytes(*key))
    }

    /// The language of a text.
    pub(super) fn language(&self, text: usize) -> Option<Language> {
        Language::from_number(self.text(text)?.1)
    }

    /// The entries of a text.
    pub(super) fn entries_of(&self, text: usize) -> Range<usize> {
        let first = |text| self.text(text).map_or(self.entries, |(_, _, first)| first as usize);
        first(text)..first(text + 1)
    }

    /// The text of a key.
    pub(super) fn find(&mut self, key: TextKey) -> Option<usize> {
        let key = key.as_bytes();
        // As a rule they are asked for in the order in which they came in.
        if self.text(self.next).is_none_or(|(known, ..)| known != key) {
            self.next = self.look_for(key)?;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    fn look_for(&self, key: &[u8; TextKey::BYTES]) -> Option<usize> {
        let by_key = &self.head[self.texts * TEXT_BYTES..][..self.texts * 4].as_chunks::<4>().0;
        let begins = |key: &[u8]| key.first_chunk().map(|begin| u64::from_be_bytes(*begin));
        let wanted = begins(key)?;
        let (mut low, mut high, mut least, mut most) = (0, by_key.len(), 0, u64::MAX);
        while low < high {
            // Digests are spread evenly: where one is among others can be told from how it begins, more or less.
            let share = wanted.checked_sub(least)? as f64 / (most - least) as f64;
            let at = (low + (share * (high - low) as f64) as usize).min(high - 1);
            let text = u32::from_le_bytes(by_key[at]) as usize;
            let (known, ..) = self.text(text)?;
            match known.cmp(key) {
                std::cmp::Ordering::Equal => return Some(text),
                std::cmp::Ordering::Less => (low, least) = (at + 1, begins(known)?),
                std::cmp::Ordering::Greater => (high, most) = (at, begins(known)?),
            }
        }
        None
    }

    fn heads(&self) -> &[[u8; ENTRY_BYTES]] {
        let from = self.texts * (TEXT_BYTES + 4);
        self.head[from..from + self.entries * ENTRY_BYTES].as_chunks().0
    }

    /// How many terms each entry has in all.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> {
        self.heads().iter().map(|[a, b, c, d, ..]| u32::from_le_bytes([*a, *b, *c, *d]))
    }

    /// The terms of an entry by number, and how often each is there.
    pub(super) fn list(&self, entry: usize) -> Result<Vec<(u32, u32)>, Damaged> {
        let place = |entry: usize| Some(u64::from_le_bytes(*self.heads().get(entry)?.last_chunk()?));
        let read = || {
            let from = self.lists.start + place(entry)?;
            let end = place(entry + 1).map_or(self.lists.end, |next| self.lists.start + next);
            let mut list = Vec::new();
            take_steps(&self.piece(&(from..end))?[SUM..], 0, &mut list)?;
            Some(list)
        };
        self.whole(read())
    }

    /// The terms of an entry, and how often each is there.
    pub(super) fn terms_of(&self, entry: usize) -> Result<Vec<(Arc<str>, u32)>, Damaged> {
        let text = |number: usize| {
            let block = self.block(number / BLOCK)?;
            self.whole(block.get(number % BLOCK).map(|term| term.text.clone()))
        };
        self.list(entry)?.into_iter().map(|(number, count)| Ok((text(number as usize)?, count))).collect()
    }

    /// All terms, by number.
    pub(super) fn vocabulary(&self) -> Result<Vec<Arc<str>>, Damaged> {
        let mut all = Vec::new();
        for at in 0..self.index.len() {
            all.extend(self.block(at)?.iter().map(|term| term.text.clone()));
        }
        Ok(all)
    }

    /// How many entries have a term.
    pub(super) fn frequency(&self, term: &str) -> Result<usize, Damaged> {
        Ok(self.term(term)?.map_or(0, |term| term.count as usize))
    }

    /// Adds the entries that have a term, their numbers raised.
    pub(super) fn postings(&self, term: &str, raised: u32, all: &mut Postings) -> Result<(), Damaged> {
        let Some(term) = self.term(term)? else { return Ok(()) };
        let piece = self.piece(&term.postings);
        self.whole(piece.and_then(|piece| take_steps(&piece[SUM..], raised, all)))
    }

    /// What is known of a term; `None` if no text has it.
    fn term(&self, term: &str) -> Result<Option<Term>, Damaged> {
        let block = self.index.partition_point(|(first, _)| **first <= *term).checked_sub(1);
        let Some(block) = block.map(|block| self.block(block)).transpose()? else { return Ok(None) };
        let found = block.binary_search_by(|known| (*known.text).cmp(term));
        Ok(found.ok().map(|at| block[at].clone()))
    }

    fn block(&self, at: usize) -> Result<Rc<Vec<Term>>, Damaged> {
        if let Some(known) = self.blocks.borrow().get(&at) {
            return Ok(known.clone());
        }
        let read = || {
            let piece = self.piece(&self.index.get(at)?.1)?;
            let mut rest = &piece[SUM..];
            let mut place = self.postings_at + take(&mut rest)?;
            let mut terms = Vec::with_capacity(BLOCK);
            while !rest.is_empty() {
                let text = take_text(&mut rest)?.into();
                let count = u32::try_from(take(&mut rest)?).ok()?;
                let end = place + take(&mut rest)?;
                terms.push(Term { text, count, postings: place..end });
                place = end;
            }
            Some(Rc::new(terms))
        };
        let terms = self.whole(read())?;
        self.blocks.borrow_mut().insert(at, terms.clone());
        Ok(terms)
    }

    /// Some bytes, if they are what was written; the first of them are their checksum.
    fn piece(&self, place: &Range<u64>) -> Option<Vec<u8>> {
        let length = usize::try_from(place.end.checked_sub(place.start)?).ok()?;
        let piece = self.pieces.read(place.start, length)?;
        let (sum, bytes) = piece.split_first_chunk::<SUM>()?;
        Digest::of(bytes).as_bytes().starts_with(sum).then_some(piece)
    }

    /// What was read, if it was there; else the segment is damaged, and remembered as such.
    fn whole<T>(&self, read: Option<T>) -> Result<T, Damaged> {
        read.ok_or_else(|| {
            self.is_damaged.set(true);
            Damaged
        })
    }
}

/// Adds a piece: what `write` adds, behind its checksum.
pub(super) fn put_piece(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = bytes.len();
    bytes.extend([0; SUM]);
    write(bytes);
    let sum = Digest::of(&bytes[at + SUM..]);
    bytes[at..at + SUM].copy_from_slice(&sum.as_bytes()[..SUM]);
}

/// A number as LEB128: seven bits a byte, the lowest first.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
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

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// Adds numbers that are steps, with their counts.
fn take_steps(mut bytes: &[u8], raised: u32, pairs: &mut Vec<(u32, u32)>) -> Option<()> {
    let mut number = raised;
    while !bytes.is_empty() {
        number = number.checked_add(u32::try_from(take(&mut bytes)?).ok()?)?;
        pairs.push((number, u32::try_from(take(&mut bytes)?).ok()?));
    }
    Some(())
}
