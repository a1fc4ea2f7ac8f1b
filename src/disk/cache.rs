//! The cache: texts by digest, answers by their request's digest, requests as they were sent.
//!
//! An entry is believed only if its bytes have the digest that it is filed under; a damaged one counts
//! as absent. Entries are written in place, without sync: a torn one is a damaged one.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, TextId};
use crate::request::Request;

use super::Store;
use super::write::fail_point;

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
}

/// The cache of a project.
#[derive(Debug)]
pub struct Cache<'a>(pub &'a Store);

impl Cache<'_> {
    fn place(&self, kind: &str, digest: Digest) -> PathBuf {
        let hex = digest.to_string();
        self.0.meu().join("cache").join(kind).join(&hex[..2]).join(&hex[2..])
    }

    /// The cache serves; it never stops a run. What cannot be stored is asked for again.
    fn put(&self, kind: &str, digest: Digest, bytes: &[u8], replace: bool) {
        let place = self.place(kind, digest);
        if !replace && fs::metadata(&place).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
            return;
        }
        let folder = place.parent().map_or(Ok(()), fs::create_dir_all);
        let _ = folder.and_then(|()| fail_point("cache")).and_then(|()| fs::write(&place, bytes));
    }

    /// Keeps a text.
    pub fn put_text(&self, text: &str) -> Digest {
        let digest = Digest::of(text);
        self.put("texts", digest, text.as_bytes(), false);
        digest
    }

    /// A text, if it is there whole.
    pub fn text(&self, digest: Digest) -> Option<String> {
        let bytes = fs::read(self.place("texts", digest)).ok()?;
        if Digest::of(&bytes) != digest {
            return None;
        }
        String::from_utf8(bytes).ok()
    }

    /// A text from the cache, else from git's objects.
    pub fn text_anywhere(&self, id: &TextId) -> Option<String> {
        self.text(id.blake3).or_else(|| super::blob(self.0.root(), id))
    }

    /// Keeps an answer.
    pub fn put_answer(&self, request: Digest, stored: &Stored, text: &str) {
        self.put("texts", stored.text, text.as_bytes(), false);
        let bytes = serde_json::to_vec(stored).unwrap_or_default();
        self.put("answers", request, &bytes, true);
    }

    /// An answer with its text, if both are there whole.
    pub fn answer(&self, request: Digest) -> Option<(Stored, String)> {
        let bytes = fs::read(self.place("answers", request)).ok()?;
        let stored: Stored = serde_json::from_slice(&bytes).ok()?;
        let text = self.text(stored.text)?;
        Some((stored, text))
    }

    /// Keeps a request as it is sent.
    pub fn put_request(&self, digest: Digest, request: &Request) {
        let bytes = serde_json::to_vec(request).unwrap_or_default();
        self.put("requests", digest, &bytes, false);
    }
}

/// Writes a file for a program to read; it is swept away with the next run.
pub fn write_scratch(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
