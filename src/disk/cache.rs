//! The cache: texts by digest, answers by their request's digest, requests as they were sent.
//!
//! An entry is believed only if its bytes have the digest that it is filed under; a damaged one counts
//! as absent. Entries are written in place, without sync: a torn one is a damaged one.
//!
//! Beside the project's own there may be a folder that several copies of it share ([`Store::shared`]): what is
//! put into the one goes into the other, what is not in the one is looked for in the other, and of several
//! that want one answer at once one asks ([`Cache::claim`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, TextId};
use crate::lock::Record;
use crate::request::{Assembled, PartItem, Request};
use crate::text::Redactor;

use super::Store;
use super::write::{fail_point, in_folder};

/// An answer that was given before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// The digest of its text, in output form.
    pub text: Digest,
    /// Tokens sent.
    pub tokens_in: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// The model that answered.
    pub model: String,
    /// Whether something was taken out of it that is never stored.
    #[serde(default)]
    pub redacted: bool,
}

/// One item of a request that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentItem {
    /// The reference, tier, form and digest.
    #[serde(flatten)]
    pub part: PartItem,
    /// The tokens of its block; 0 for an item that the prompt took in place.
    pub tokens: usize,
}

/// The items of a request as they are sent.
pub fn sent_items(assembled: &Assembled) -> Vec<SentItem> {
    let tokens = |part: &PartItem| {
        let found = assembled.bundle.items.iter().find(|item| item.item.to_string() == part.item);
        found.map_or(0, |item| item.tokens)
    };
    assembled.parts.items.iter().map(|part| SentItem { tokens: tokens(part), part: part.clone() }).collect()
}

/// How often it is looked whether somebody else has asked to the end.
const POLL: Duration = Duration::from_millis(50);

/// The right to ask for an answer, held. Its file stays: one that went could be locked by two under one name.
#[derive(Debug)]
pub struct Claim(#[allow(dead_code)] fs::File);

fn name(kind: &str, digest: Digest) -> PathBuf {
    let hex = digest.to_string();
    Path::new(kind).join(&hex[..2]).join(&hex[2..])
}

fn write_unless_there(place: &Path, bytes: &[u8]) -> io::Result<()> {
    // What is there may be damaged; only the same bytes need no writing.
    if fs::read(place).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fail_point("cache")?;
    in_folder(place.parent().unwrap_or(place), || fs::write(place, bytes))
}

/// The cache of a project.
#[derive(Debug)]
pub struct Cache<'a>(pub &'a Store);

impl Cache<'_> {
    fn place(&self, kind: &str, digest: Digest) -> PathBuf {
        self.0.meu().join("cache").join(name(kind, digest))
    }

    /// The bytes of an entry as often as it is there: the first may be damaged.
    fn read(&self, kind: &str, digest: Digest) -> impl Iterator<Item = Vec<u8>> {
        let shared = self.0.shared().map(|shared| shared.join(name(kind, digest)));
        std::iter::once(self.place(kind, digest)).chain(shared).filter_map(|place| fs::read(place).ok())
    }

    /// The vector that a model made of a text.
    pub fn vector(&self, key: Digest) -> Option<Vec<f32>> {
        self.read("vectors", key).find_map(|bytes| {
            let (sum, body) = bytes.split_first_chunk::<32>()?;
            let (numbers, rest) = body.as_chunks::<4>();
            let whole = Digest::of(body).as_bytes() == sum && rest.is_empty() && !numbers.is_empty();
            whole.then(|| numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        })
    }

    /// Keeps the vector that a model made of a text.
    pub fn put_vector(&self, key: Digest, vector: &[f32]) -> io::Result<()> {
        let body: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut bytes = Digest::of(&body).as_bytes().to_vec();
        bytes.extend(body);
        self.put("vectors", key, &bytes)
    }

    fn put(&self, kind: &str, digest: Digest, bytes: &[u8]) -> io::Result<()> {
        if let Some(shared) = self.0.shared() {
            // Others are served by it; this project has its own. No glob and no git looks into it, unless it was a
            // folder with something of a person's before.
            let ignore = shared.join(".gitignore");
            let is_new = || fs::read_dir(shared).map_or(true, |mut entries| entries.next().is_none());
            if !ignore.exists() && is_new() {
                let _ = fs::create_dir_all(shared).and_then(|()| fs::write(ignore, "*\n"));
            }
            let _ = write_unless_there(&shared.join(name(kind, digest)), bytes);
        }
        write_unless_there(&self.place(kind, digest), bytes)
    }

    /// Keeps a text that can be made again. The cache serves; it stops no run.
    pub fn put_text(&self, text: &str) -> Digest {
        let digest = Digest::of(text);
        let _ = self.put("texts", digest, text.as_bytes());
        digest
    }

    /// Keeps a text that is about to be replaced: on the medium, or an error.
    pub fn keep_text(&self, text: &str) -> io::Result<Digest> {
        let digest = Digest::of(text);
        self.put("texts", digest, text.as_bytes())?;
        fs::File::open(self.place("texts", digest))?.sync_all()?;
        Ok(digest)
    }

    /// Where a text is kept.
    pub(super) fn text_place(&self, digest: Digest) -> PathBuf {
        self.place("texts", digest)
    }

    /// A text, if it is there whole.
    pub fn text(&self, digest: Digest) -> Option<String> {
        let whole = self.read("texts", digest).find(|bytes| Digest::of(bytes) == digest)?;
        String::from_utf8(whole).ok()
    }

    /// A text from the cache, else from git's objects.
    pub fn text_anywhere(&self, id: &TextId) -> Option<String> {
        self.text(id.blake3).or_else(|| super::blob(self.0.root(), id))
    }

    /// Keeps an answer.
    pub fn put_answer(&self, request: Digest, stored: &Stored, text: &str) -> io::Result<()> {
        self.put("texts", stored.text, text.as_bytes())?;
        self.put("answers", request, &serde_json::to_vec(stored)?)
    }

    /// An answer with its text, if both are there whole.
    pub fn answer(&self, request: Digest) -> Option<(Stored, String)> {
        self.read("answers", request).find_map(|bytes| {
            let stored: Stored = serde_json::from_slice(&bytes).ok()?;
            let text = self.text(stored.text)?;
            Some((stored, text))
        })
    }

    /// The right to ask for an answer that others may want at once, in a cache that is shared; waits while
    /// somebody else has it. It ends when it is dropped, or with its process. There is none to have where
    /// nothing is shared, or a person ends the run.
    pub fn claim(&self, request: Digest) -> Option<Claim> {
        let place = self.0.shared()?.join(name("claims", request));
        fs::create_dir_all(place.parent()?).ok()?;
        // Who cannot write there shares nothing.
        let file = fs::File::options().write(true).create(true).truncate(false).open(&place).ok()?;
        while let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            if super::interrupted() {
                return None;
            }
            std::thread::sleep(POLL);
        }
        Some(Claim(file))
    }

    /// Keeps a request as it is sent, with its items; but for what is never stored.
    pub fn put_request(&self, digest: Digest, request: &Request, items: &[SentItem], redactor: &Redactor) {
        let mut sent = serde_json::json!({"request": request, "items": items});
        redactor.clean_json(&mut sent);
        let bytes = compress_to_vec_zlib(&serde_json::to_vec(&sent).unwrap_or_default(), 6);
        let _ = self.put("requests", digest, &bytes);
    }

    /// The digests of a kind that begin with some digits, in order; at least four.
    fn beginning_with(&self, kind: &str, prefix: &str) -> Vec<Digest> {
        if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Vec::new();
        }
        let prefix = prefix.to_ascii_lowercase();
        let own = self.0.meu().join("cache");
        let folders = std::iter::once(own.as_path()).chain(self.0.shared());
        let entries = folders.filter_map(|folder| fs::read_dir(folder.join(kind).join(&prefix[..2])).ok());
        let names = entries.flatten().flatten().map(|entry| entry.file_name());
        let digests = names.filter_map(|name| format!("{}{}", &prefix[..2], name.to_str()?).parse().ok());
        let mut found: Vec<Digest> =
            digests.filter(|digest: &Digest| digest.to_string().starts_with(&prefix)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The texts whose digests begin with some digits, at least four.
    pub fn texts_beginning_with(&self, prefix: &str) -> Vec<Digest> {
        self.beginning_with("texts", prefix)
    }

    /// A request as it was sent, with its items, by its digest or the beginning of it.
    fn sent_by(&self, prefix: &str) -> Option<(Digest, serde_json::Value)> {
        let digest = *self.beginning_with("requests", prefix).first()?;
        let bytes = self.read("requests", digest).next()?;
        // Older ones are kept as they are.
        let bytes = decompress_to_vec_zlib_with_limit(&bytes, LARGEST_REQUEST).unwrap_or(bytes);
        Some((digest, serde_json::from_slice(&bytes).ok()?))
    }

    /// A request as it was sent, with its items: `request` and `items`.
    pub fn sent(&self, prefix: &str) -> Option<serde_json::Value> {
        self.sent_by(prefix).map(|(_, sent)| sent)
    }

    /// The items of a recorded request. Without the cache the lock still has them, though not their tokens.
    pub fn items_of(&self, record: &Record) -> Vec<SentItem> {
        let parts =
            || record.parts.items.iter().map(|part| SentItem { part: part.clone(), tokens: 0 }).collect();
        self.sent_items(&record.request.to_string()).map_or_else(parts, |(_, items)| items)
    }

    /// The items of a request that was sent, by its digest or the beginning of it.
    pub fn sent_items(&self, prefix: &str) -> Option<(Digest, Vec<SentItem>)> {
        let (digest, mut sent) = self.sent_by(prefix)?;
        Some((digest, serde_json::from_value(sent["items"].take()).ok()?))
    }
}

/// The most bytes of a kept request.
const LARGEST_REQUEST: usize = 256 * 1024 * 1024;
