//! What is never stored or shown: keys, and whatever `[redact]` matches. And what looks like a
//! credential, to be told before it is sent.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use regex::Regex;
use regex_automata::{Anchored, Input};

use crate::spec::Pattern;

/// What stands in place of a match of `[redact]`.
const REDACTED: &str = "[redacted]";

/// What stands in place of a key.
const KEY: &str = "[key]";

/// Fields that hold digests and words of meu's own.
const OURS: [&str; 14] = [
    "request", "digest", "old", "new", "blake3", "git", "run", "event", "status", "state", "at", "kind",
    "tier", "form",
];

/// So many bytes before a mark are looked at for what ends at it; fewer once so many were looked at in all.
const WINDOW: usize = 64 * 1024;
const MOST: usize = 64 * 1024 * 1024;
const SMALL_WINDOW: usize = 1024;

/// What of a stretch of text is to be looked at: all, or what begins or ends where something beside it was taken out.
#[derive(Clone, Copy, Debug)]
enum Look {
    All,
    Borders { begin: bool, end: bool },
}

/// What stands between the marks of what was taken out before.
fn between_marks(text: &str) -> Vec<Range<usize>> {
    let marks = [REDACTED, KEY].into_iter().flat_map(|mark| text.match_indices(mark));
    let mut marks: Vec<Range<usize>> = marks.map(|(at, mark)| at..at + mark.len()).collect();
    marks.sort_by_key(|mark| mark.start);
    let ends = std::iter::once(0).chain(marks.iter().map(|mark| mark.end));
    let starts = marks.iter().map(|mark| mark.start).chain([text.len()]);
    ends.zip(starts).map(|(from, to)| from..to).filter(|between| !between.is_empty()).collect()
}

/// A key, and what finds it in all its clothes, once somebody looks.
#[derive(Debug)]
struct Key {
    text: String,
    patterns: OnceLock<Vec<Pattern>>,
}

impl Key {
    fn patterns(&self) -> &[Pattern] {
        self.patterns.get_or_init(|| {
            let clothes = std::iter::once(dressed(&self.text)).chain(in_base64(&self.text));
            let found = clothes.filter_map(|pattern| Pattern::new(&pattern).ok());
            // The bare one, too: of one that is too long to be looked for in clothes it is all that is found.
            found.chain(Pattern::new(&regex::escape(&self.text)).ok()).collect()
        })
    }
}

/// A pattern of a text in which any character may stand as URLs, JSON or HTML write it.
fn dressed(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        let plain = regex::escape(c.encode_utf8(&mut [0; 4]));
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() => {
                // `%2F`, also of what was encoded before; `\u002f`, `\x2f`, `\/`; `&#47;`, `&#x2f;`.
                let code = format!(
                    r"%(?:25)*(?i:{byte:02x})|\\+(?:u00|x)(?i:{byte:02x})|\\+{plain}|&#0*{byte};?|&#[xX]0*(?i:{byte:x});?"
                );
                let named = match byte {
                    b'/' => "|&sol;",
                    b'+' => "|&plus;",
                    b'=' => "|&equals;",
                    b'_' => "|&lowbar;",
                    b'-' => "|&hyphen;",
                    b'.' => "|&period;",
                    b'&' => "|&amp;",
                    b'<' => "|&lt;",
                    b'>' => "|&gt;",
                    b'"' => "|&quot;",
                    _ => "",
                };
                pattern.push_str(&format!("(?:{plain}|{code}{named})"));
            }
            _ => pattern.push_str(&plain),
        }
    }
    pattern
}

/// Patterns of a text in base64 (RFC 4648, either alphabet), wherever in what is encoded it stands: what of it does not
/// hang on what stands beside it.
fn in_base64(text: &str) -> impl Iterator<Item = String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3).map(move |before: usize| {
        let bits: Vec<u8> = std::iter::repeat_n(0, before)
            .chain(text.bytes())
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
            .collect();
        let digits = bits.as_chunks::<6>().0.iter().skip((before * 8).div_ceil(6));
        let digit =
            |bits: &[u8; 6]| DIGITS[bits.iter().fold(0, |number, bit| number * 2 + usize::from(*bit))];
        digits.map(digit).fold(String::new(), |pattern, digit| match digit {
            b'+' => pattern + "[+-]",
            b'/' => pattern + "[/_]",
            digit => pattern + std::str::from_utf8(&[digit]).unwrap_or_default(),
        })
    })
}

/// Takes out what is never stored or shown.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    patterns: Arc<Vec<Pattern>>,
    keys: Arc<RwLock<Vec<Key>>>,
}

/// Something in a text that should perhaps not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret<'t> {
    /// What it looks like, in words.
    pub looks_like: String,
    /// The text itself: for comparing, never for showing.
    pub text: &'t str,
}

impl Redactor {
    /// A redactor of some patterns; keys come later, when they are read.
    pub fn new(patterns: &[Pattern]) -> Self {
        Redactor { patterns: Arc::new(patterns.to_vec()), keys: Arc::default() }
    }

    /// From now on a key is taken out too, also as URLs, JSON, HTML and base64 write it. Words that only stand where a
    /// key is asked for (`none`, `lm-studio`) are left alone: they are in honest texts.
    pub fn learn_key(&self, key: &str) {
        let digits = key.contains(|c: char| c.is_ascii_digit());
        if key.len() < 8 || (key.len() < 12 && !digits) {
            return;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if !keys.iter().any(|known| known.text == key) {
            keys.push(Key { text: key.to_owned(), patterns: OnceLock::new() });
        }
    }

    /// A text as it may be stored and shown. What was taken out before stays as it is, so that cleaning
    /// twice is cleaning once.
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.is_idle() {
            return Cow::Borrowed(text);
        }
        // What is taken out is blotted out here: a pattern sees a border of words beside it, as it will beside the mark.
        let mut blotted = Cow::Borrowed(text.as_bytes());
        let mut open: Vec<(Range<usize>, Look)> =
            between_marks(text).into_iter().map(|stretch| (stretch, Look::All)).collect();
        let mut out: Vec<(Range<usize>, &str)> = Vec::new();
        let mut looked_at = 0;
        while let Some((stretch, look)) = open.pop() {
            let window = if looked_at < MOST { WINDOW } else { SMALL_WINDOW };
            if matches!(look, Look::Borders { end: true, .. }) {
                looked_at += window.min(stretch.len());
            }
            let found = self.found(&blotted, &stretch, look, window);
            let (mut at, mut begin) = (stretch.start, false);
            for (range, _) in &found {
                if at < range.start {
                    open.push((at..range.start, Look::Borders { begin, end: true }));
                }
                blotted.to_mut()[range.clone()].fill(b']');
                (at, begin) = (range.end, true);
            }
            if begin && at < stretch.end {
                open.push((at..stretch.end, Look::Borders { begin, end: false }));
            }
            out.extend(found);
        }
        if out.is_empty() {
            return Cow::Borrowed(text);
        }
        out.sort_by_key(|(range, _)| range.start);
        let (mut clean, mut at) = (String::with_capacity(text.len()), 0);
        for (range, mark) in out {
            clean.push_str(&text[at..range.start]);
            clean.push_str(mark);
            at = range.end;
        }
        clean.push_str(&text[at..]);
        Cow::Owned(clean)
    }

    /// What is to be taken out of a stretch of text, and what comes in its place. What anything matches goes as a whole,
    /// however the matches overlap.
    fn found(
        &self,
        text: &[u8],
        stretch: &Range<usize>,
        look: Look,
        window: usize,
    ) -> Vec<(Range<usize>, &'static str)> {
        let input = |from: usize| Input::new(text).range(from..stretch.end);
        let matches = |pattern: &Pattern| -> Vec<Range<usize>> {
            let finder = &pattern.finder;
            let Look::Borders { begin, end } = look else {
                return finder.find_iter(input(stretch.start)).map(|found| found.range()).collect();
            };
            let first = begin.then(|| finder.find(input(stretch.start).anchored(Anchored::Yes))).flatten();
            let mut from = stretch.start.max(stretch.end.saturating_sub(window));
            while from < stretch.end && text[from] & 0xc0 == 0x80 {
                from += 1;
            }
            let last = end.then(|| finder.find_iter(input(from)).filter(|found| found.end() == stretch.end));
            first.into_iter().chain(last.into_iter().flatten()).map(|found| found.range()).collect()
        };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let ours = self.patterns.iter().flat_map(matches).map(|range| (range, REDACTED));
        let keys =
            keys.iter().flat_map(|key| key.patterns().iter().flat_map(matches)).map(|range| (range, KEY));
        let mut ranges: Vec<(Range<usize>, &str)> = ours.chain(keys).collect();
        ranges.retain(|(range, _)| !range.is_empty());
        ranges.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, &str)> = Vec::new();
        for (range, mark) in ranges {
            match merged.last_mut() {
                Some((last, known)) if range.start < last.end => {
                    if range.end > last.end || range == *last {
                        *known = if *known == mark { mark } else { REDACTED };
                    }
                    last.end = last.end.max(range.end);
                }
                _ => merged.push((range, mark)),
            }
        }
        merged
    }

    /// Whether anything at all would be taken out of some text.
    pub fn is_idle(&self) -> bool {
        self.patterns.is_empty() && self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// All texts of a JSON value as they may be stored and shown; names of fields stay, and so do digests and
    /// the words that meu itself chooses.
    pub fn clean_json(&self, value: &mut serde_json::Value) {
        if self.is_idle() {
            return;
        }
        match value {
            serde_json::Value::String(text) => {
                if let Cow::Owned(clean) = self.clean(text) {
                    *text = clean;
                }
            }
            serde_json::Value::Array(list) => list.iter_mut().for_each(|value| self.clean_json(value)),
            serde_json::Value::Object(map) => {
                let ours = |key: &str, value: &serde_json::Value| OURS.contains(&key) && value.is_string();
                map.iter_mut()
                    .filter(|(key, value)| !ours(key, value))
                    .for_each(|(_, value)| self.clean_json(value));
            }
            _ => {}
        }
    }

    /// What in a text should perhaps not be sent: matches of the patterns, and well-known credentials.
    pub fn secrets<'t>(&self, text: &'t str) -> Vec<Secret<'t>> {
        let ours = self.patterns.iter().flat_map(|pattern| {
            let looks_like = format!("what `[redact]` names with `{}`", pattern.text);
            pattern.finder.find_iter(text).map(move |found| (looks_like.clone(), &text[found.range()]))
        });
        let known = shapes().iter().flat_map(|(name, pattern)| {
            pattern.find_iter(text).map(move |found| ((*name).to_owned(), found.as_str()))
        });
        // Keys have digits in them; words that begin alike have not.
        let known = known
            .filter(|(_, found)| !found.starts_with("sk-") || found.contains(|c: char| c.is_ascii_digit()));
        ours.chain(known).map(|(looks_like, text)| Secret { looks_like, text }).collect()
    }
}

/// Credentials that are known by their shape, as their makers document them.
fn shapes() -> &'static [(&'static str, Regex)] {
    static SHAPES: OnceLock<Vec<(&'static str, Regex)>> = OnceLock::new();
    SHAPES.get_or_init(|| {
        let shapes = [
            ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
            ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
            ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
            ("an API key of a model provider", r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}"),
            ("a Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
            ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
            ("a Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
            ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
            ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
            ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"),
        ];
        let compiled = shapes.into_iter().map(|(name, shape)| Some((name, Regex::new(shape).ok()?)));
        compiled.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&[Pattern::new(r"(?i)password\s*[:=]\s*\S+").expect("a pattern")])
    }

    #[test]
    fn patterns_and_keys_are_taken_out() {
        let redactor = redactor();
        redactor.learn_key("sk-very-secret");
        assert_eq!(
            redactor.clean("the Password: hunter2, twice sk-very-secret"),
            "the [redacted] twice [key]"
        );
        let mut json = serde_json::json!({"password: x": ["password: x", {"a": "sk-very-secret"}], "n": 1});
        redactor.clean_json(&mut json);
        assert_eq!(json, serde_json::json!({"password: x": ["[redacted]", {"a": "[key]"}], "n": 1}));
        assert!(matches!(redactor.clean("nothing to see"), Cow::Borrowed(_)));
    }

    #[test]
    fn cleaning_twice_is_cleaning_once() {
        let clean = |patterns: &[&str], text: &str| {
            let patterns: Vec<Pattern> =
                patterns.iter().map(|p| Pattern::new(p).expect("a pattern")).collect();
            let redactor = Redactor::new(&patterns);
            let once = redactor.clean(text).into_owned();
            assert_eq!(redactor.clean(&once), once);
            once
        };
        assert_eq!(clean(&["[a-z]{8,}"], "the supersecret word"), "the [redacted] word");
        // Overlapping matches go as one, whichever pattern comes first.
        assert_eq!(clean(&[r"user=\w+", r"user=\w+ pass=\w+"], "a user=bob pass=x b"), "a [redacted] b");
        // The beginning and the end of a text are those that it has with its marks.
        assert_eq!(clean(&["p:.*", "foo $"], "foo p: x"), "foo [redacted]");
        assert_eq!(clean(&[r"^\S+\s*"], "one two three"), "[redacted]two three");
        assert_eq!(clean(&[r"\s*\S+\s*$"], "one two three"), "one two[redacted]");
        // A border of words that comes about by taking out is one.
        assert_eq!(clean(&["p:x", r"\bfoo\b"], "p:xfoo p:y foo"), "[redacted][redacted] p:y [redacted]");
        assert_eq!(clean(&["(?i)a{3}"], "[redacted]aaa[key]aaa"), "[redacted][redacted][key][redacted]");
    }

    #[test]
    fn a_key_is_found_in_other_clothes() {
        let redactor = Redactor::default();
        redactor.learn_key("sk-AB/cd+ef9876543210ZZ");
        for text in [
            "sk-AB/cd+ef9876543210ZZ",
            "sk-AB%2Fcd%2Bef9876543210ZZ",
            "sk-AB%2fcd%2bef9876543210ZZ",
            "sk-AB\\/cd+ef9876543210ZZ",
            "sk-AB/cd%2Bef9876543210ZZ",
            "sk-AB&#x2F;cd&#43;ef9876543210ZZ",
            "sk-AB%252Fcd&plus;ef9876543210ZZ",
            r"sk-AB\\/cd\x2bef9876543210ZZ",
            "sk-AB\\u002Fcd\\u002bef9876543210ZZ",
        ] {
            assert_eq!(redactor.clean(&format!("<{text}>")), "<[key]>", "{text}");
        }
    }

    #[test]
    fn a_key_is_found_in_base64() {
        let redactor = Redactor::default();
        redactor.learn_key("sk-AB/cd+ef9876543210ZZ");
        // Made by base64(1) of the key alone, with one and with two letters before it, and more after it.
        for (encoded, shown) in [
            ("c2stQUIvY2QrZWY5ODc2NTQzMjEwWlo=", "[key]o="),
            ("eHNrLUFCL2NkK2VmOTg3NjU0MzIxMFpaeXl5", "eH[key]eXl5"),
            ("eHhzay1BQi9jZCtlZjk4NzY1NDMyMTBaWnl5eQ==", "eHh[key]nl5eQ=="),
        ] {
            assert_eq!(redactor.clean(encoded), shown);
        }
    }

    #[test]
    fn a_key_that_is_too_long_for_clothes_is_found_bare() {
        let key = "A1/+".repeat(20_000);
        assert!(Pattern::new(&dressed(&key)).is_err());
        let redactor = Redactor::default();
        redactor.learn_key(&key);
        assert_eq!(redactor.clean(&format!("<{key}>")), "<[key]>");
    }

    #[test]
    fn a_long_text_with_many_matches_is_cleaned_in_time() {
        let clean = |pattern: &str, text: &str| {
            Redactor::new(&[Pattern::new(pattern).expect("a pattern")]).clean(text).into_owned()
        };
        let many = "secret7 and so on\n".repeat(50_000);
        assert_eq!(clean(r"secret\d+", &many), many.replace("secret7", "[redacted]"));
        assert_eq!(clean(r"\w+", &"a b ".repeat(50_000)), "[redacted] ".repeat(100_000));
        let number = format!("{}\nhonest words", "1".repeat(200_000));
        assert_eq!(clean(r"\d{4}\b", &number), format!("{}\nhonest words", "[redacted]".repeat(50_000)));
        let words = "word ".repeat(50_000);
        assert_eq!(clean(r"^\S+\s*", &words), format!("[redacted]{}", &words[5..]));
        // Each letter brings the next, or the one before, to a border; what is beside them stays.
        let honest = format!("{}-\nhonest words", "x".repeat(10_000));
        assert_eq!(clean(r"\bx", &honest), format!("{}-\nhonest words", "[redacted]".repeat(10_000)));
        assert_eq!(clean(r"x\b", &honest), format!("{}-\nhonest words", "[redacted]".repeat(10_000)));
    }

    #[test]
    fn digests_are_no_secrets() {
        let redactor = Redactor::new(&[Pattern::new("[0-9a-f]{8,}").expect("a pattern")]);
        let mut json = serde_json::json!({"request": "0123456789ab", "text": "0123456789ab", "items": [{"digest": "0123456789ab"}]});
        redactor.clean_json(&mut json);
        assert_eq!(
            json,
            serde_json::json!({"request": "0123456789ab", "text": "[redacted]", "items": [{"digest": "0123456789ab"}]})
        );
    }

    #[test]
    fn a_word_in_place_of_a_key_stays_a_word() {
        let redactor = Redactor::default();
        for word in ["none", "ollama", "lm-studio"] {
            redactor.learn_key(word);
            assert_eq!(redactor.clean(word), word);
        }
    }

    #[test]
    fn every_shape_is_a_regular_expression_and_finds_its_like() {
        let letters = "a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8i9J0a1B2c3D4e5F6g7H8i9J0";
        let found = |text: &str| -> Vec<String> {
            redactor().secrets(text).into_iter().map(|secret| secret.looks_like).collect()
        };
        for (text, name) in [
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), "an AWS access key"),
            (format!("ghp_{}", &letters[..36]), "a GitHub token"),
            (format!("github_pat_{letters}"), "a GitHub token"),
            (format!("glpat-{}", &letters[..20]), "a GitLab token"),
            (format!("sk-proj-{letters}"), "an API key of a model provider"),
            (format!("sk-ant-api03-{letters}"), "an API key of a model provider"),
            (format!("AIza{}", &letters[..35]), "a Google API key"),
            (format!("xoxb-{}", &letters[..20]), "a Slack token"),
            (format!("sk_live_{}", &letters[..24]), "a Stripe key"),
            (format!("npm_{}", &letters[..36]), "an npm token"),
            (format!("hf_{}", &letters[..34]), "a Hugging Face token"),
            ("-----BEGIN RSA PRIVATE KEY-----".to_owned(), "a private key"),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), "a private key"),
        ] {
            assert_eq!(found(&format!("x {text} y")), [name], "{text}");
        }
        assert_eq!(
            found("a risk-based approach to mask-wearing, task-oriented-something-very-long"),
            [""; 0]
        );
        assert_eq!(found("password=x").len(), 1);
        assert_eq!(shapes().len(), 10);
    }
}
