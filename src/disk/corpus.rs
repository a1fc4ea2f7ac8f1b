//! The corpus on disk: `.meu/corpus`, a head with version and checksum, then the corpus as it writes
//! itself. It only saves work: damaged, of another version or gone, it is made anew.

use crate::context::Corpus;
use crate::digest::Digest;

use super::{Durability, Store};

/// Changed whenever terms or passages of a text would come out otherwise.
const MAGIC: &[u8] = b"meu corpus 2\n";

pub(super) fn load(store: &Store) -> Corpus {
    let bytes = std::fs::read(store.meu().join("corpus")).unwrap_or_default();
    let whole = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk::<32>());
    let body = whole.filter(|(sum, body)| Digest::of(body).as_bytes() == *sum).map(|(_, body)| body);
    body.and_then(Corpus::from_bytes).unwrap_or_default()
}

pub(super) fn save(store: &Store, corpus: &mut Corpus) {
    if !store.meu().is_dir() {
        return;
    }
    let body = corpus.to_bytes();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(Digest::of(&body).as_bytes());
    bytes.extend(body);
    // It saves work only, so a failure is nobody's trouble.
    drop(store.write_meu("corpus", &bytes, Durability::Scratch));
}

/// Removes it.
pub(super) fn forget(store: &Store) {
    let _ = std::fs::remove_file(store.meu().join("corpus"));
}
