//! The offline drafter: a draft out of the request's own items, without a model, the same on every
//! machine.
//!
//! It reads the items out of the very text that a model would read, ranks their sentences by the words
//! they share with title and prompt, and cites each source by its id. Its last line says what it is.

use std::collections::{HashMap, HashSet};

use crate::context::{Fenced, parse_fenced};
use crate::request::Request;
use crate::text::{Format, Language, UnitKind, terms, units};

use super::{Answer, Model, Refusal};

/// The offline drafter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

impl Model for Offline {
    fn ask(&self, request: &Request, _: &dyn Fn(usize)) -> Result<Answer, Refusal> {
        let user = request.messages.iter().find(|message| message.role == "user");
        let text = draft(user.map_or("", |message| &message.content), limit(request));
        Ok(Answer { text, model: "offline".into(), ..Answer::default() })
    }
}

/// About how many characters the answer may have: three a token, which all vocabularies stay under.
fn limit(request: &Request) -> usize {
    let tokens = request.parameter("max_output_tokens").and_then(|value| value.parse::<usize>().ok());
    tokens.unwrap_or(2000).saturating_mul(3)
}

struct Sentence<'a> {
    score: i64,
    at: usize,
    text: &'a str,
    words: HashSet<String>,
}

fn draft(user: &str, limit: usize) -> String {
    let (title, prompt) = task_of(user);
    let items = parse_fenced(user);
    let language = Language::of(user);
    let query: HashSet<String> = terms(&format!("{title}\n{prompt}"), language).into_iter().collect();
    // The index and cards say how to write, not what.
    let sources: Vec<&Fenced<'_>> =
        items.iter().filter(|item| item.source != "index" && item.tier != "plan").collect();
    let sentences: Vec<Vec<Sentence<'_>>> = rank(&sources, &query, language);

    let mut draft = format!("# {title}\n");
    let mut said: Vec<&HashSet<String>> = Vec::new();
    let last = closing(sources.len());
    let room = limit.saturating_sub(last.len() + 2);
    let mut cited = HashSet::new();
    let each = (room / sources.len().max(1)).max(200);
    for (source, ranked) in sources.iter().zip(&sentences) {
        let mut chosen: Vec<&Sentence<'_>> = Vec::new();
        let mut length = 0;
        for sentence in ranked {
            let repeats = said.iter().any(|other| overlap(other, &sentence.words));
            if repeats || (length > 0 && length + sentence.text.len() > each) || chosen.len() >= 6 {
                continue;
            }
            length += sentence.text.len();
            said.push(&sentence.words);
            chosen.push(sentence);
        }
        chosen.sort_by_key(|sentence| sentence.at);
        let Some(first) = chosen.first() else { continue };
        let mut section = format!("\n## {}\n\n", heading_of(source));
        let mut list = is_listed(first.text);
        for (number, sentence) in chosen.iter().enumerate() {
            let listed = is_listed(sentence.text);
            if number > 0 {
                section.push_str(match (list, listed) {
                    (true, true) => "\n",
                    (false, false) => " ",
                    _ => "\n\n",
                });
            }
            list = listed;
            section.push_str(&sentence.text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        section.push_str(&format!(" [{}]\n", source.source));
        if draft.len() + section.len() > room && !cited.is_empty() {
            break;
        }
        cited.insert(source.source);
        draft.push_str(&section);
    }
    if cited.is_empty() {
        let wanted: Vec<&str> = prompt.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        draft.push_str("\nNo source was given. What the task asks for:\n\n");
        for line in wanted.iter().take(12) {
            draft.push_str(&format!("- {}\n", line.trim_start_matches(['-', '*', ' '])));
        }
    }
    draft.push_str(&format!("\n{last}\n"));
    draft
}

fn closing(sources: usize) -> String {
    let of = match sources {
        0 => "without a source".to_owned(),
        1 => "from 1 source".to_owned(),
        n => format!("from {n} sources"),
    };
    format!("*Drafted offline {of} by picking sentences; no language model was asked.*")
}

/// The title and the prompt as the task's message has them.
fn task_of(user: &str) -> (&str, &str) {
    let after_items = user.rfind("</item>\n").map_or(user, |at| &user[at + "</item>\n".len()..]);
    match after_items.split_once("# Task: ") {
        Some((_, rest)) => {
            let (title, prompt) = rest.split_once('\n').unwrap_or((rest, ""));
            (title.trim(), prompt.trim())
        }
        None => ("Draft", after_items.trim()),
    }
}

/// The sentences of each source, the best first.
fn rank<'a>(sources: &[&Fenced<'a>], query: &HashSet<String>, language: Language) -> Vec<Vec<Sentence<'a>>> {
    let mut frequency: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<Vec<Sentence<'a>>> = Vec::new();
    for source in sources {
        let mut sentences = Vec::new();
        for (at, unit) in units(Format::Markdown, source.text).into_iter().enumerate() {
            let text = &source.text[unit.range];
            let ours = text.starts_with("*Drafted offline") || text.contains(crate::context::MARK);
            if unit.kind != UnitKind::Sentence
                || ours
                || text.starts_with('|')
                || text.starts_with("No source")
            {
                continue;
            }
            let words: HashSet<String> = terms(text, language).into_iter().collect();
            if words.len() < 3 {
                continue;
            }
            for word in &words {
                *frequency.entry(word.clone()).or_default() += 1;
            }
            sentences.push(Sentence { score: 0, at, text, words });
        }
        all.push(sentences);
    }
    let total: usize = all.iter().map(Vec::len).sum();
    for sentences in &mut all {
        for sentence in sentences.iter_mut() {
            let mut shared: Vec<&String> = sentence.words.intersection(query).collect();
            shared.sort_unstable();
            let weight = |word: &&String| (1.0 + total as f64 / frequency[word.as_str()] as f64).ln();
            let length = (sentence.words.len() as f64 / 12.0).max(1.0).sqrt();
            let early = 1.0 / (1.0 + sentence.at as f64 / 3.0);
            let score = shared.iter().map(weight).sum::<f64>() / length + early;
            // Compared as whole numbers, so that the order is the same on every machine.
            sentence.score = (score * 1e6).round() as i64;
        }
        sentences.sort_by_key(|sentence| (std::cmp::Reverse(sentence.score), sentence.at));
    }
    all
}

fn overlap(said: &HashSet<String>, words: &HashSet<String>) -> bool {
    let shared = said.intersection(words).count();
    shared * 10 >= said.len().min(words.len()) * 7
}

fn is_listed(text: &str) -> bool {
    text.starts_with(['-', '*', '+'])
        || text.split(['.', ')']).next().is_some_and(|n| n.parse::<u32>().is_ok())
}

/// The first heading of a source, or its name spelled out.
fn heading_of(source: &Fenced<'_>) -> String {
    let first = crate::text::headings(source.text).into_iter().next().map(|heading| heading.text);
    first.filter(|text| !text.is_empty()).unwrap_or_else(|| {
        let name = source.source.split_once(':').map_or(source.source, |(_, name)| name);
        crate::spec::words_of_id(name.trim_end_matches(".md").trim_end_matches(".txt"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "# Context\n\n\
        <item source=\"doc:notes/kit.md\" type=\"input\" form=\"full\">\n# Kit\n\nThe meter needs calibration \
        before every survey. Boots keep feet dry in cold water. The crate weighs nine kilograms when packed.\n</item>\n\n\
        # Task: Calibration\n\nSay how the meter is calibrated.\n";

    #[test]
    fn the_relevant_sentence_is_cited() {
        let draft = draft(USER, 300);
        assert!(
            draft.starts_with("# Calibration\n\n## Kit\n\nThe meter needs calibration before every survey."),
            "{draft}"
        );
        assert!(draft.contains("[doc:notes/kit.md]"));
        assert!(draft.ends_with("no language model was asked.*\n"));
    }

    #[test]
    fn without_sources_the_draft_says_so() {
        let draft = draft("# Task: A\n\nDo this.\nAnd that.\n", 1000);
        assert!(
            draft.contains("No source was given. What the task asks for:\n\n- Do this.\n- And that.\n"),
            "{draft}"
        );
    }

    #[test]
    fn the_same_request_gives_the_same_draft() {
        assert_eq!(draft(USER, 900), draft(USER, 900));
    }
}
