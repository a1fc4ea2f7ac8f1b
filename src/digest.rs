//! Digests: what "the same" means everywhere in meu.
//!
//! Every digest is BLAKE3. A digest over several fields goes through [`Framer`], which writes each
//! field behind its length, so that `("a", "bc")` and `("ab", "c")` never meet. Texts are named
//! twice, by BLAKE3 and by git's blob id, so that an old text can be found in git's objects when the
//! cache is gone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3 digest of 256 bits, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes, unframed.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Digest(*blake3::hash(bytes.as_ref()).as_bytes())
    }

    /// The digest of bytes that lie in several places, as if they were together.
    pub fn of_pieces(pieces: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for piece in pieces {
            hasher.update(piece);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// The digest of all bytes that a reader gives.
    pub fn of_all_in(reader: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// The first 12 hexadecimal digits: enough to tell digests apart on a screen.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// The digest as it was computed.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        blake3::Hash::from_hex(text)
            .map(|hash| Digest(*hash.as_bytes()))
            .map_err(|_| format!("`{text}` is not a digest of 64 hexadecimal digits"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes a sequence of fields, each behind its length (8 bytes, little endian).
///
/// The domain names what is hashed and its version; two kinds of things never share a digest.
///
/// The fields are gathered and hashed at one go: most are short, and hashing them one by one costs more
/// than copying them.
pub struct Framer(Vec<u8>);

impl Framer {
    /// Begins a digest of one kind of thing, for instance `"meu request v1"`.
    pub fn new(domain: &str) -> Self {
        let mut framer = Framer(Vec::with_capacity(512));
        framer.field(domain);
        framer
    }

    /// Adds one field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    /// Adds the length of a list whose elements follow as fields.
    pub fn count(&mut self, len: usize) -> &mut Self {
        self.field((len as u64).to_le_bytes())
    }

    /// Adds a field that may be absent; absent and empty differ.
    pub fn maybe(&mut self, bytes: Option<impl AsRef<[u8]>>) -> &mut Self {
        match bytes {
            None => self.count(0),
            Some(bytes) => self.count(1).field(bytes),
        }
    }

    /// The digest of all that was added.
    pub fn finish(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// The two names of a text: its BLAKE3 digest and its git blob id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TextId {
    /// BLAKE3 over the normal form of the text (LF ends, no byte order mark).
    pub blake3: Digest,
    /// What `git hash-object` prints for the same bytes.
    pub git: String,
}

impl TextId {
    /// Names a text that is in normal form already.
    pub fn of(text: &str) -> Self {
        TextId { blake3: Digest::of(text), git: git_blob_id(text.as_bytes()) }
    }
}

/// The id of a blob in a git repository that uses SHA-1: `sha1("blob LEN\0" + bytes)`.
pub fn git_blob_id(bytes: &[u8]) -> String {
    let mut sha = sha1_smol::Sha1::new();
    sha.update(format!("blob {}\0", bytes.len()).as_bytes());
    sha.update(bytes);
    sha.digest().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(fields: &[&str]) -> Digest {
        let mut framer = Framer::new("test");
        for field in fields {
            framer.field(field);
        }
        framer.finish()
    }

    #[test]
    fn moving_a_letter_from_one_field_to_the_next_changes_the_digest() {
        assert_ne!(framed(&["a", "bc"]), framed(&["ab", "c"]));
        assert_ne!(framed(&["", "a"]), framed(&["a", ""]));
        assert_ne!(framed(&["a"]), framed(&["a", ""]));
    }

    #[test]
    fn absent_and_empty_differ() {
        let absent = Framer::new("t").maybe(None::<&str>).finish();
        let empty = Framer::new("t").maybe(Some("")).finish();
        assert_ne!(absent, empty);
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest::of("x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("zz".parse::<Digest>().is_err());
    }

    #[test]
    fn git_names_are_gits() {
        // `printf 'hello\n' | git hash-object --stdin`, and git's well-known empty blob.
        assert_eq!(git_blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(git_blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    }

    #[test]
    fn the_framing_is_pinned() {
        // BLAKE3 of 01 00*7 't' 01 00*7 'a', computed apart from this code with b3sum:
        // printf '\1\0\0\0\0\0\0\0t\1\0\0\0\0\0\0\0a' | b3sum
        let expected = blake3::hash(b"\x01\0\0\0\0\0\0\0t\x01\0\0\0\0\0\0\0a");
        assert_eq!(Framer::new("t").field("a").finish().as_bytes(), expected.as_bytes());
    }
}
