//! Exact token counts, through the kept library; special tokens count as plain text.

use crate::spec::TokenizerName;

/// The tokens of a text. The first call for a vocabulary loads it, which takes about 0.1 s.
pub fn count(tokenizer: TokenizerName, text: &str) -> usize {
    let bpe = match tokenizer {
        TokenizerName::Chars => return text.chars().count(),
        TokenizerName::O200k => tiktoken_rs::o200k_base_singleton(),
        TokenizerName::Cl100k => tiktoken_rs::cl100k_base_singleton(),
    };
    pieces(text).map(|piece| bpe.count_ordinary(piece)).sum()
}

/// A run of spaces longer than this, in bytes, is more than the library's pattern survives.
const LONGEST_RUN: usize = 50_000;

/// The text whole or, where it has endless runs of white space, cut inside them. A cut may cost a token.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut cuts = Vec::new();
    let mut run = 0;
    if text.len() > LONGEST_RUN {
        for (at, c) in text.char_indices() {
            run = if c.is_whitespace() { run + c.len_utf8() } else { 0 };
            if run > LONGEST_RUN {
                cuts.push(at);
                run = 0;
            }
        }
    }
    cuts.push(text.len());
    let mut from = 0;
    cuts.into_iter().map(move |to| &text[std::mem::replace(&mut from, to)..to])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_published_vocabularies() {
        // "hello world" is two tokens in both (OpenAI's cookbook counts "hello", " world").
        assert_eq!(count(TokenizerName::O200k, "hello world"), 2);
        assert_eq!(count(TokenizerName::Cl100k, "hello world"), 2);
        // The cookbook's example of cl100k_base: "t", "ik", "token", " is", " great", "!".
        assert_eq!(count(TokenizerName::Cl100k, "tiktoken is great!"), 6);
        assert_eq!(count(TokenizerName::Chars, "né\u{301}"), 3);
    }

    #[test]
    fn a_million_spaces_are_counted() {
        let text = format!("a {}x", " ".repeat(1_000_000));
        let tokens = count(TokenizerName::O200k, &text);
        assert!((1_000..200_000).contains(&tokens), "{tokens}");
    }

    #[test]
    fn special_tokens_are_plain_text() {
        assert!(count(TokenizerName::O200k, "<|endoftext|>") > 1);
    }
}
