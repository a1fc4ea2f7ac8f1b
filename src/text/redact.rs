//! What is never stored or shown: keys, and whatever `[redact]` matches. And what looks like a
//! credential, to be told before it is sent.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock, RwLock};

use regex::Regex;

/// What stands in place of a match of `[redact]`.
const REDACTED: &str = "[redacted]";

/// What stands in place of a key.
const KEY: &str = "[key]";

/// Fields that hold digests and words of meu's own.
const OURS: [&str; 14] = [
    "request", "digest", "old", "new", "blake3", "git", "run", "event", "status", "state", "at", "kind",
    "tier", "form",
];

/// A text in pieces: what was taken out before, and what stands between.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mark = [REDACTED, KEY].into_iter().filter_map(|mark| Some((rest.find(mark)?, mark))).min();
        let (piece, is_mark) = match mark {
            Some((0, mark)) => (&rest[..mark.len()], true),
            Some((at, _)) => (&rest[..at], false),
            None => (rest, false),
        };
        rest = &rest[piece.len()..];
        Some((piece, is_mark))
    })
}

/// Takes out what is never stored or shown.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    patterns: Arc<Vec<Regex>>,
    keys: Arc<RwLock<Vec<String>>>,
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
    pub fn new(patterns: &[Regex]) -> Self {
        Redactor { patterns: Arc::new(patterns.to_vec()), keys: Arc::default() }
    }

    /// From now on a key is taken out too, also as URLs and JSON write it. Words that only stand where a key
    /// is asked for (`none`, `lm-studio`) are left alone: they are in honest texts.
    pub fn learn_key(&self, key: &str) {
        let digits = key.contains(|c: char| c.is_ascii_digit());
        if key.len() < 8 || (key.len() < 12 && !digits) {
            return;
        }
        let encoded = |upper: bool| -> String {
            let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
            let code = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            key.bytes()
                .map(|byte| if keep(&byte) { (byte as char).to_string() } else { code(byte) })
                .collect()
        };
        let forms = [key.to_owned(), encoded(true), encoded(false), key.replace('/', "\\/")];
        let mut keys = self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for form in forms {
            if !keys.contains(&form) {
                keys.push(form);
            }
        }
    }

    /// A text as it may be stored and shown. What was taken out before stays as it is, so that cleaning
    /// twice is cleaning once.
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        // What is taken out can bring what is beside it to an end or a beginning that a pattern asks for.
        while let Some(next) = self.clean_once(&clean) {
            clean = Cow::Owned(next);
        }
        clean
    }

    /// One round; `None` if nothing is to be taken out.
    fn clean_once(&self, text: &str) -> Option<String> {
        let keys = self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut shown = String::new();
        let mut found = false;
        for (piece, is_mark) in pieces(text) {
            if is_mark {
                shown.push_str(piece);
                continue;
            }
            // Each stretch that anything matches goes as a whole, however the matches overlap.
            let ours =
                self.patterns.iter().flat_map(|pattern| pattern.find_iter(piece)).map(|found| found.range());
            let keys = keys.iter().flat_map(|key| piece.match_indices(key.as_str()));
            let keys = keys.map(|(at, key)| (at..at + key.len(), KEY));
            let mut ranges: Vec<(std::ops::Range<usize>, &str)> =
                ours.map(|range| (range, REDACTED)).chain(keys).collect();
            ranges.retain(|(range, _)| !range.is_empty());
            ranges.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
            let mut at = 0;
            let mut rest = ranges.into_iter().peekable();
            while let Some((mut range, mut mark)) = rest.next() {
                while let Some((next, other)) = rest.next_if(|(next, _)| next.start < range.end) {
                    if next.end > range.end || next == range {
                        mark = if mark == other { mark } else { REDACTED };
                    }
                    range.end = range.end.max(next.end);
                }
                found = true;
                shown.push_str(&piece[at..range.start]);
                shown.push_str(mark);
                at = range.end;
            }
            shown.push_str(&piece[at..]);
        }
        found.then_some(shown)
    }

    /// Whether anything at all would be taken out of some text.
    pub fn is_idle(&self) -> bool {
        self.patterns.is_empty()
            && self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
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
            let looks_like = format!("what `[redact]` names with `{}`", pattern.as_str());
            pattern.find_iter(text).map(move |found| (looks_like.clone(), found))
        });
        let known = shapes().iter().flat_map(|(name, pattern)| {
            pattern.find_iter(text).map(move |found| ((*name).to_owned(), found))
        });
        // Keys have digits in them; words that begin alike have not.
        let known = known.filter(|(_, found)| {
            !found.as_str().starts_with("sk-") || found.as_str().contains(|c: char| c.is_ascii_digit())
        });
        ours.chain(known).map(|(looks_like, found)| Secret { looks_like, text: found.as_str() }).collect()
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
        Redactor::new(&[Regex::new(r"(?i)password\s*[:=]\s*\S+").expect("a pattern")])
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
            let patterns: Vec<Regex> = patterns.iter().map(|p| Regex::new(p).expect("a pattern")).collect();
            let redactor = Redactor::new(&patterns);
            let once = redactor.clean(text).into_owned();
            assert_eq!(redactor.clean(&once), once);
            once
        };
        assert_eq!(clean(&["[a-z]{8,}"], "the supersecret word"), "the [redacted] word");
        // Overlapping matches go as one, whichever pattern comes first.
        assert_eq!(clean(&[r"user=\w+", r"user=\w+ pass=\w+"], "a user=bob pass=x b"), "a [redacted] b");
        // An end that comes about by taking out is an end.
        assert_eq!(clean(&["p:.*", "foo $"], "foo p: x"), "[redacted][redacted]");
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
        ] {
            assert_eq!(redactor.clean(&format!("<{text}>")), "<[key]>", "{text}");
        }
    }

    #[test]
    fn digests_are_no_secrets() {
        let redactor = Redactor::new(&[Regex::new("[0-9a-f]{8,}").expect("a pattern")]);
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
