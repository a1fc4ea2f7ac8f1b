//! A text as terms: what retrieval and shortening compare.
//!
//! Words are compared folded (NFKC, lower case, without diacritics), stemmed by the rules of their
//! language (Snowball), without stop words. Scripts that put no spaces between words give overlapping
//! characters and pairs of characters. Identifiers give themselves and their parts.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use snowball_stemmers_rs::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// A language that can be stemmed, by its number among the known ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(u8);

/// Makes the stemmer of a language.
type MakeStemmer = fn() -> Stemmer;

/// The known languages: ISO 639-1 code and stemmer. English first: it is what a text is taken for that
/// says nothing else. Each stemmer is named where it is made, so that those of other languages, with tables that
/// every start of the program would pay for, are not linked.
const LANGUAGES: &[(&str, MakeStemmer)] = &[
    ("en", || Stemmer::create(Algorithm::English)),
    ("de", || Stemmer::create(Algorithm::German)),
    ("fr", || Stemmer::create(Algorithm::French)),
    ("es", || Stemmer::create(Algorithm::Spanish)),
    ("it", || Stemmer::create(Algorithm::Italian)),
    ("pt", || Stemmer::create(Algorithm::Portuguese)),
    ("nl", || Stemmer::create(Algorithm::Dutch)),
    ("sv", || Stemmer::create(Algorithm::Swedish)),
    ("da", || Stemmer::create(Algorithm::Danish)),
    ("no", || Stemmer::create(Algorithm::Norwegian)),
    ("fi", || Stemmer::create(Algorithm::Finnish)),
    ("ru", || Stemmer::create(Algorithm::Russian)),
    ("hu", || Stemmer::create(Algorithm::Hungarian)),
    ("ro", || Stemmer::create(Algorithm::Romanian)),
    ("tr", || Stemmer::create(Algorithm::Turkish)),
];

/// How many words of a text are looked at to tell its language.
const TELLING_WORDS: usize = 400;

impl Language {
    /// The language whose stop words a text has most of; English unless another has clearly more, since a
    /// word or two of a title belong to many languages.
    pub fn of(text: &str) -> Self {
        let mut found = [0usize; LANGUAGES.len()];
        for word in text.unicode_words().take(TELLING_WORDS) {
            let Some(languages) = stop_words().get(&*word.to_lowercase()) else { continue };
            for (language, count) in found.iter_mut().enumerate() {
                *count += usize::from(languages & (1 << language) != 0);
            }
        }
        let most = found.iter().copied().max().unwrap_or_default();
        let clear = most >= 3 && 2 * most > 3 * found[0];
        Language(found.iter().position(|count| *count == most && clear).unwrap_or_default() as u8)
    }

    /// The language of a number that was kept; `None` if it is not known.
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < LANGUAGES.len()).then_some(Language(number))
    }

    /// Its number, to be kept.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Words that say nothing of what a text is about, with the languages that have them, a bit each.
fn stop_words() -> &'static HashMap<&'static str, u16> {
    static ALL: OnceLock<HashMap<&'static str, u16>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: HashMap<&str, u16> = HashMap::new();
        for (language, (code, _)) in LANGUAGES.iter().enumerate() {
            for word in stop_words::lookup(code).unwrap_or_default() {
                *all.entry(word).or_default() |= 1 << language;
            }
        }
        all
    })
}

/// Whether a character belongs to a script that puts no spaces between words, or few.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Myanmar
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' // Hangul
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}' | '\u{3041}'..='\u{30ff}' // Kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{3ffff}')
}

/// Marks that people leave out when they look for a word: accents, Hebrew points, Arabic vowel signs.
/// In other scripts marks are letters.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

/// The terms of a text, in order, with repetitions.
pub fn terms(text: &str, language: Language) -> Vec<String> {
    terms_without(text, language, 1 << language.0)
}

/// The terms of a query as each language has them. What is a stop word in one of them is none of its terms:
/// a text may be taken for one of another language.
pub fn query_terms(query: &str, languages: &BTreeSet<Language>) -> Vec<Vec<String>> {
    let all = languages.iter().fold(0, |all, language| all | 1 << language.0);
    languages.iter().map(|language| terms_without(query, *language, all)).collect()
}

/// The terms of a text but for the stop words of some languages.
fn terms_without(text: &str, language: Language, stop: u16) -> Vec<String> {
    let folded: Cow<'_, str> = if text.is_ascii() { text.into() } else { text.nfkc().collect() };
    let mut builder = Builder {
        stemmer: (LANGUAGES[usize::from(language.0)].1)(),
        stop,
        terms: Vec::new(),
        run: Vec::new(),
    };
    for word in folded.split_word_bounds() {
        if word.starts_with(is_unspaced) {
            builder.run.extend(word.chars());
            continue;
        }
        builder.end_run();
        if word.chars().any(char::is_alphanumeric) {
            builder.word(word);
            for part in parts(word) {
                builder.word(part);
            }
        }
    }
    builder.end_run();
    builder.terms
}

struct Builder {
    stemmer: Stemmer,
    /// The languages whose stop words are left out, a bit each.
    stop: u16,
    terms: Vec<String>,
    /// Characters of an unspaced script that stand together.
    run: Vec<char>,
}

impl Builder {
    fn word(&mut self, word: &str) {
        let word = word.to_lowercase();
        let word = word.strip_suffix("'s").or(word.strip_suffix("’s")).unwrap_or(&word);
        if word.is_empty() || stop_words().get(word).is_some_and(|languages| languages & self.stop != 0) {
            return;
        }
        let stem = self.stemmer.stem(word);
        self.terms.push(match stem.is_ascii() {
            true => stem.into_owned(),
            false => stem.nfd().filter(|c| !is_accent(*c)).nfc().collect(),
        });
    }

    fn end_run(&mut self) {
        self.terms.extend(self.run.iter().map(char::to_string));
        self.terms.extend(self.run.windows(2).map(|pair| pair.iter().collect()));
        self.run.clear();
    }
}

/// The parts of an identifier (`camelCase`, `snake_case`, `a.path`); none if it is one word.
fn parts(word: &str) -> Vec<&str> {
    let plain = word.bytes().all(|byte| byte.is_ascii_lowercase());
    if plain || !word.chars().any(char::is_alphabetic) {
        return Vec::new();
    }
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let mut parts = Vec::new();
    let mut from = 0;
    for (nth, &(at, c)) in chars.iter().enumerate() {
        let joins = matches!(c, '_' | '.' | ':' | '-');
        let before = nth.checked_sub(1).map(|nth| chars[nth].1);
        let next_is_lower = chars.get(nth + 1).is_some_and(|(_, next)| next.is_lowercase());
        let begins = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase() || before.is_numeric() || (before.is_uppercase() && next_is_lower)
            });
        if (joins || begins) && at > from {
            parts.push(&word[from..at]);
        }
        if joins {
            from = at + c.len_utf8();
        } else if begins {
            from = at;
        }
    }
    if parts.is_empty() && from == 0 {
        return Vec::new();
    }
    if from < word.len() {
        parts.push(&word[from..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(terms(text, Language::of(text)), expected);
    }

    #[test]
    fn words_are_folded_and_stemmed_by_their_language() {
        // Porter2's own examples: "connections" to "connect", "generous" to "generous".
        check("The connections of a generous friend’s café", &["connect", "generous", "friend", "cafe"]);
        // Snowball's German sample vocabulary: "häuser" to "haus"; the umlaut goes with the stem.
        check("die Häuser und der Garten sind nicht alt", &["haus", "gart", "alt"]);
    }

    #[test]
    fn scripts_without_spaces_give_characters_and_pairs() {
        check("漢字の", &["漢", "字", "の", "漢字", "字の"]);
        check("用Rust写", &["用", "rust", "写"]);
        // Full-width letters are letters.
        check("ＡＢ１", &["ab1"]);
    }

    #[test]
    fn a_query_has_no_stop_word_of_any_language() {
        let languages = BTreeSet::from([Language(0), Language(1)]);
        let words = query_terms("the calibrations und Häuser", &languages);
        assert_eq!(words, [vec!["calibr", "hauser"], vec!["calibration", "haus"]]);
    }

    #[test]
    fn marks_that_are_letters_stay() {
        check("काम कम", &["काम", "कम"]);
    }

    #[test]
    fn identifiers_give_their_parts_too() {
        check("parseHTTPRequest", &["parsehttprequest", "pars", "http", "request"]);
        check("max_output_tokens", &["max_output_token", "max", "output", "token"]);
        check("src/main.rs", &["src", "main.r", "main", "rs"]);
        check("3.14", &["3.14"]);
    }

    #[test]
    fn a_text_that_says_nothing_is_english() {
        assert_eq!(Language::of("x = 1"), Language::default());
        assert_eq!(LANGUAGES[usize::from(Language::of("el gato y la casa de los niños").number())].0, "es");
    }
}
