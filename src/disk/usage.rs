//! What providers count beside what meu counts: `.meu/usage.json`. It makes prices true and decides
//! nothing about contexts.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::spec::TokenizerName;

use super::{Durability, Store};

/// Fewer tokens than this say nothing about a provider.
const TELLING: u64 = 1000;

/// The tokens of requests, as meu counted them and as a provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// By the context's tokenizer.
    pub ours: u64,
    /// By the provider, for the same requests.
    pub theirs: u64,
}

/// By provider, then by tokenizer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<String, BTreeMap<String, Counted>>);

impl Usage {
    /// What was learned so far. An unreadable file is nothing: it is learned again.
    pub fn load(store: &Store) -> Self {
        let bytes = std::fs::read(store.meu().join("usage.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Keeps it, if it is news.
    pub fn save(&self, store: &Store) -> io::Result<()> {
        if *self == Usage::load(store) {
            return Ok(());
        }
        store.write_meu("usage.json", &serde_json::to_vec_pretty(self)?, Durability::Grouped)
    }

    /// Takes in one answered request.
    pub fn learn(&mut self, provider: &str, tokenizer: TokenizerName, counted: Counted) {
        let of =
            self.0.entry(provider.to_owned()).or_default().entry(tokenizer.word().to_owned()).or_default();
        // A hundred times as many is no count.
        if counted.theirs / 100 > counted.ours.saturating_add(100) {
            return;
        }
        of.ours = of.ours.saturating_add(counted.ours);
        of.theirs = of.theirs.saturating_add(counted.theirs);
    }

    /// How many tokens a provider counts for one of ours, once enough is known.
    pub fn factor(&self, provider: &str, tokenizer: TokenizerName) -> Option<f64> {
        let counted = self.0.get(provider)?.get(tokenizer.word())?;
        (counted.ours >= TELLING).then(|| counted.theirs as f64 / counted.ours as f64)
    }

    /// The most tokens that a provider is expected to count where we count `ours`: never fewer.
    pub fn worst(&self, provider: &str, tokenizer: TokenizerName, ours: u64) -> u64 {
        let factor = self.factor(provider, tokenizer).unwrap_or(1.0);
        if factor > 1.0 { (ours as f64 * factor).ceil() as u64 } else { ours }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_learned_from_enough_tokens() {
        let mut usage = Usage::default();
        usage.learn("p", TokenizerName::O200k, Counted { ours: 900, theirs: 990 });
        assert_eq!(usage.factor("p", TokenizerName::O200k), None);
        usage.learn("p", TokenizerName::O200k, Counted { ours: 100, theirs: 110 });
        assert_eq!(usage.factor("p", TokenizerName::O200k), Some(1.1));
        assert_eq!(usage.factor("p", TokenizerName::Cl100k), None);
        assert_eq!(usage.worst("p", TokenizerName::O200k, 11), 13);
        // A provider that counts fewer makes no cap looser.
        usage.learn("q", TokenizerName::Chars, Counted { ours: 4000, theirs: 1000 });
        assert_eq!(usage.worst("q", TokenizerName::Chars, 100), 100);
    }
}
