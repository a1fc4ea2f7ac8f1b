//! The stat cache: what need not be read, counted or put together again.
//!
//! One file, `.meu/state`: a head with version and checksum, then for each known file its stat and
//! digest, for each task its recipe and what came of it, for each counted text its tokens. It only
//! saves work: without it, or if it is damaged or of another version, everything is computed anew.
//!
//! A file whose stat is as recorded is not read again, with git's rule for racily clean files: a stat
//! is recorded only if the file was last changed well before this process began to read.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::digest::Digest;
use crate::path::RelPath;
use crate::spec::TokenizerName;

use super::stamp::{RACY, Stat, nanos};
use super::{Durability, Store};

const MAGIC: &[u8] = b"meu state 3\n";

/// What a recipe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The digest of all that decides the request.
    pub recipe: Digest,
    /// The digest of the request.
    pub request: Digest,
    /// The digest of its parts.
    pub parts: Digest,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) files: HashMap<RelPath, (Stat, Digest)>,
    pub(super) requests: HashMap<String, Recalled>,
    pub(super) counts: HashMap<(TokenizerName, Digest), u32>,
    pub(super) dirty: bool,
    began: i128,
    /// Whether what is on disk was not read: most of it is of no use to this process.
    apart: bool,
}

impl State {
    pub(super) fn load(store: &Store) -> Self {
        let began = nanos(SystemTime::now());
        let bytes = std::fs::read(store.meu().join("state")).unwrap_or_default();
        let mut state = decode(&bytes).unwrap_or_default();
        state.began = began;
        state
    }

    /// A state that leaves what is on disk unread until a text is to be counted: then it is worth it.
    pub(super) fn apart() -> Self {
        State { began: nanos(SystemTime::now()), apart: true, ..State::default() }
    }

    /// Reads what is on disk, if that was put off.
    pub(super) fn join(&mut self, store: &Store) {
        if std::mem::take(&mut self.apart) {
            let mut whole = State::load(store);
            whole.dirty = self.dirty;
            whole.files.extend(self.files.drain());
            whole.requests.extend(self.requests.drain());
            whole.began = self.began;
            *self = whole;
        }
    }

    /// Keeps a file's digest, unless the file is so young that a change could go unseen.
    pub(super) fn keep(&mut self, path: &RelPath, stat: Stat, digest: Digest) {
        if stat.youngest() + RACY < self.began {
            self.dirty |= self.files.insert(path.clone(), (stat, digest)) != Some((stat, digest));
        } else {
            self.dirty |= self.files.remove(path).is_some();
        }
    }

    /// Writes the state if it changed. It saves work only, so a failure is nobody's trouble.
    pub(super) fn save(&mut self, store: &Store) {
        if self.apart || !self.dirty || !store.meu().is_dir() {
            return;
        }
        let bytes = encode(self);
        self.dirty = store.write_meu("state", &bytes, Durability::Scratch).is_err();
    }
}

fn encode(state: &State) -> Vec<u8> {
    let mut body = Vec::new();
    let text = |body: &mut Vec<u8>, text: &str| {
        body.extend((text.len() as u32).to_le_bytes());
        body.extend(text.as_bytes());
    };
    body.extend((state.files.len() as u32).to_le_bytes());
    for (path, (stat, digest)) in &state.files {
        text(&mut body, path.as_str());
        body.extend(stat.to_bytes());
        body.extend(digest.as_bytes());
    }
    body.extend((state.requests.len() as u32).to_le_bytes());
    for (task, recalled) in &state.requests {
        text(&mut body, task);
        body.extend(recalled.recipe.as_bytes());
        body.extend(recalled.request.as_bytes());
        body.extend(recalled.parts.as_bytes());
    }
    body.extend((state.counts.len() as u32).to_le_bytes());
    for ((tokenizer, digest), count) in &state.counts {
        body.push(TokenizerName::ALL.iter().position(|name| name == tokenizer).unwrap_or(0) as u8);
        body.extend(digest.as_bytes());
        body.extend(count.to_le_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Digest::of(&body).as_bytes());
    bytes.extend(body);
    bytes
}

/// `None` if anything is not as it was written.
fn decode(bytes: &[u8]) -> Option<State> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, body) = rest.split_at_checked(32)?;
    if Digest::of(body).as_bytes() != sum {
        return None;
    }
    let mut reader = Reader(body);
    let mut state = State::default();
    for _ in 0..reader.u32()? {
        let path = RelPath::parse(reader.text()?).ok()?;
        let stat = Stat::from_bytes(&reader.bytes()?);
        state.files.insert(path, (stat, Digest::from_bytes(reader.bytes()?)));
    }
    for _ in 0..reader.u32()? {
        let task = reader.text()?.to_owned();
        let recalled = Recalled {
            recipe: Digest::from_bytes(reader.bytes()?),
            request: Digest::from_bytes(reader.bytes()?),
            parts: Digest::from_bytes(reader.bytes()?),
        };
        state.requests.insert(task, recalled);
    }
    for _ in 0..reader.u32()? {
        let [tokenizer] = reader.bytes()?;
        let tokenizer = *TokenizerName::ALL.get(usize::from(tokenizer))?;
        let digest = Digest::from_bytes(reader.bytes()?);
        state.counts.insert((tokenizer, digest), reader.u32()?);
    }
    Some(state)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_at_checked(N)?;
        self.0 = rest;
        head.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(head).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let stat = Stat { size: 1, modified: -5, changed: 7, identity: 8 };
        let mut state = State::default();
        if let Ok(path) = RelPath::parse("a/b.md") {
            state.files.insert(path, (stat, Digest::of("x")));
        }
        let recalled = Recalled { recipe: Digest::of("1"), request: Digest::of("2"), parts: Digest::of("3") };
        state.requests.insert("a".into(), recalled);
        state.counts.insert((TokenizerName::Chars, Digest::of("y")), 5);
        state
    }

    #[test]
    fn what_is_written_is_read() {
        let read = decode(&encode(&state())).unwrap_or_default();
        assert_eq!(read.files, state().files);
        assert_eq!(read.requests, state().requests);
        assert_eq!(read.counts, state().counts);
    }

    #[test]
    fn any_damage_makes_it_nothing() {
        let whole = encode(&state());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {at}");
            assert!(decode(&whole[..at]).is_none(), "cut at {at}");
        }
    }
}
