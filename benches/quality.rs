//! What meu retrieves and how it shortens, for judged collections: one row of a run or of a summary a
//! line, to be scored by programs that meu did not write. `benches/quality.py` drives this and peers.
//!
//! ```sh
//! cargo bench --bench quality -- retrieval FOLDER > run.tsv
//! cargo bench --bench quality -- summaries FILE.jsonl WORDS > summaries.jsonl
//! cargo bench --bench quality -- turns FOLDER > turns.jsonl
//! cargo bench --bench quality -- tokens FILE... > tokens.tsv   # beside: node benches/tokens.mjs FILE...
//! ```

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::HashMap;

use meu::context::{Corpus, Query, ranked, search};
use meu::digest::Digest;
use meu::spec::{Ranking, TokenizerName};
use meu::text::Format;
use serde_json::{Value, json};

fn rows(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// Each document a page with its title as heading; each query's first hundred pages.
fn retrieval(folder: &str, ranking: Ranking) {
    let mut corpus = Corpus::default();
    let mut ids: Vec<String> = Vec::new();
    let mut texts = Vec::new();
    for row in rows(&format!("{folder}/corpus.jsonl")) {
        let page = match text(&row, "title") {
            "" => text(&row, "text").to_owned(),
            title => format!("# {}\n\n{}", title.replace('\n', " "), text(&row, "text")),
        };
        // Pages of one content would stand for each other.
        let page = format!("{page}\n<!-- {} -->", ids.len());
        ids.push(text(&row, "id").to_owned());
        texts.push(corpus.add(Digest::of(&page), "page.md", page.rsplit_once('\n').unwrap().0));
    }
    for query in rows(&format!("{folder}/queries.jsonl")) {
        let mut rank = 0;
        let mut seen = std::collections::HashSet::new();
        for hit in search(&corpus, &texts, text(&query, "text"), ranking) {
            if seen.insert(hit.text) && rank < 100 {
                rank += 1;
                println!("{}\t{}\t{rank}\t{:.6}", text(&query, "id"), ids[hit.text], hit.score);
            }
        }
    }
}

/// The best sentences of each text until the budget is full, in their order, as sumy gives them.
fn summaries(path: &str, words: usize) {
    let chinese = path.ends_with("-zh.jsonl");
    for row in rows(path) {
        let body = text(&row, "text");
        let mut chosen = Vec::new();
        let mut length = 0;
        for range in ranked(Format::Markdown, body, &Query::new(text(&row, "query"))) {
            if length >= words {
                break;
            }
            let piece = &body[range.clone()];
            length += match chinese {
                true => piece.chars().filter(|c| !c.is_whitespace()).count(),
                false => piece.split_whitespace().count(),
            };
            chosen.push(range);
        }
        chosen.sort_by_key(|range| range.start);
        let summary: Vec<&str> = chosen.into_iter().map(|range| &body[range]).collect();
        println!("{}", json!({"id": row["id"], "summary": summary.join(" ")}));
    }
}

/// The turns of meetings in the order in which their sentences are chosen for a question.
fn turns(folder: &str) {
    let mut meetings: HashMap<u64, Vec<String>> = HashMap::new();
    for question in rows(&format!("{folder}/qmsum-dev.jsonl")) {
        let number = question["meeting"].as_u64().unwrap();
        let turns = meetings.entry(number).or_insert_with(|| {
            let text = std::fs::read_to_string(format!("{folder}/qmsum-m{number}.json")).unwrap();
            let meeting: Value = serde_json::from_str(&text).unwrap();
            let turns = meeting["turns"].as_array().unwrap().iter();
            turns
                .map(|turn| turn.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        });
        let page = turns.join("\n\n");
        let mut starts = Vec::new();
        let mut at = 0;
        for turn in turns.iter() {
            starts.push(at);
            at += turn.len() + 2;
        }
        let mut order: Vec<usize> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for range in ranked(Format::Markdown, &page, &Query::new(text(&question, "query"))) {
            let turn = starts.partition_point(|start| *start <= range.start) - 1;
            if seen.insert(turn) {
                order.push(turn);
            }
        }
        println!("{}", json!({"id": question["id"], "turns": order}));
    }
}

/// The tokens of files by both vocabularies.
fn tokens(files: &[&str]) {
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let count = |tokenizer| meu::text::count(tokenizer, &text);
        println!("{}\t{}\t{file}", count(TokenizerName::O200k), count(TokenizerName::Cl100k));
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["retrieval", folder] => retrieval(folder, Ranking::Bm25),
        ["retrieval-tfidf", folder] => retrieval(folder, Ranking::TfIdf),
        ["summaries", file, words] => summaries(file, words.parse().unwrap()),
        ["turns", folder] => turns(folder),
        ["tokens", files @ ..] => tokens(files),
        _ => eprintln!("say `retrieval FOLDER`, `summaries FILE WORDS`, `turns FOLDER` or `tokens FILE...`"),
    }
}
