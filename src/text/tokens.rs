//! Exact token counts, through the kept library; special tokens count as plain text.

use crate::spec::TokenizerName;

/// The tokens of a text. The first call for a vocabulary loads it, which takes about 0.1 s.
pub fn count(tokenizer: TokenizerName, text: &str) -> usize {
    match tokenizer {
        TokenizerName::Chars => text.chars().count(),
        TokenizerName::O200k => tiktoken_rs::o200k_base_singleton().count_ordinary(text),
        TokenizerName::Cl100k => tiktoken_rs::cl100k_base_singleton().count_ordinary(text),
    }
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
    fn special_tokens_are_plain_text() {
        assert!(count(TokenizerName::O200k, "<|endoftext|>") > 1);
    }
}
