//! What meu retrieves and how it shortens, for judged collections: one row of a run or of a summary a
//! line, to be scored by programs that meu did not write. `benches/quality.py` drives this and peers.
//!
//! ```sh
//! cargo bench --bench quality -- retrieval FOLDER > run.tsv
//! cargo bench --bench quality -- summaries FILE.jsonl WORDS > summaries.jsonl
//! cargo bench --bench quality -- turns FOLDER > turns.jsonl
//! cargo bench --bench quality -- links tasks.json...  # nDCG@10 of suggested links, beside BM25 fused with order
//! cargo bench --bench quality -- tokens FILE... > tokens.tsv   # beside: node benches/tokens.mjs FILE...
//! ```

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::HashMap;

use meu::author::Words;
use meu::context::{Corpus, Query, TextIx, TextKey, ranked, search};
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

/// A corpus of some texts, which are all taken for different ones.
fn indexed(path: &str, texts: &[String]) -> (Corpus, Vec<TextIx>) {
    let mut corpus = Corpus::default();
    let key = |at: usize| TextKey::of(Digest::of(format!("{at} {}", texts[at])), path);
    (0..texts.len()).for_each(|at| corpus.add(&[(key(at), path, &texts[at])]));
    corpus.settle();
    let found = (0..texts.len()).map(|at| corpus.find(key(at)).expect("it is in")).collect();
    (corpus, found)
}

/// Each document a page with its title as heading; each query's first hundred pages.
fn retrieval(folder: &str, ranking: Ranking) {
    let mut ids: Vec<String> = Vec::new();
    let mut pages = Vec::new();
    for row in rows(&format!("{folder}/corpus.jsonl")) {
        ids.push(text(&row, "id").to_owned());
        pages.push(match text(&row, "title") {
            "" => text(&row, "text").to_owned(),
            title => format!("# {}\n\n{}", title.replace('\n', " "), text(&row, "text")),
        });
    }
    let (corpus, texts) = indexed("page.md", &pages);
    for query in rows(&format!("{folder}/queries.jsonl")) {
        let mut rank = 0;
        let mut seen = std::collections::HashSet::new();
        for hit in search(&corpus, &texts, text(&query, "text"), ranking).expect("not damaged").found {
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

/// nDCG at 10 of a ranking, where all that is relevant counts alike. (Järvelin and Kekäläinen, TOIS 2002.)
fn ndcg(ranking: &[usize], relevant: &[usize]) -> f64 {
    let gain = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
    let got: f64 = ranking
        .iter()
        .take(10)
        .enumerate()
        .filter(|(_, one)| relevant.contains(one))
        .map(|(at, _)| gain(at))
        .sum();
    got / (0..relevant.len().min(10)).map(gain).sum::<f64>()
}

/// For each task with dependencies in claude-task-master's plans: how well they are ranked by what `meu link suggest`
/// ranks by, and by a sum of reciprocal ranks of search and of nearness in the file. All tasks of the list are
/// candidates for both.
fn links(files: &[String]) {
    let (mut ours, mut peers, mut plans) = (Vec::new(), Vec::new(), 0);
    for file in files {
        let Ok(json) = std::fs::read_to_string(file)
            .map_err(drop)
            .and_then(|text| serde_json::from_str::<Value>(&text).map_err(drop))
        else {
            continue;
        };
        let lists: Vec<&Value> = match json["tasks"].as_array() {
            Some(_) => vec![&json["tasks"]],
            None => json.as_object().into_iter().flatten().map(|(_, tag)| &tag["tasks"]).collect(),
        };
        for tasks in lists.into_iter().filter_map(Value::as_array).filter(|tasks| tasks.len() >= 8) {
            let id = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let ids: Vec<String> = tasks.iter().map(|task| id(&task["id"])).collect();
            let relevant: Vec<Vec<usize>> = tasks
                .iter()
                .enumerate()
                .map(|(at, task)| {
                    let names = task["dependencies"].as_array().into_iter().flatten().map(id);
                    let known = names.filter_map(|name| ids.iter().position(|id| *id == name));
                    known.filter(|other| *other != at).collect()
                })
                .collect();
            if relevant.iter().filter(|relevant| !relevant.is_empty()).count() < 5 {
                continue;
            }
            plans += 1;
            let body = |task: &Value| format!("{}\n\n{}", text(task, "description"), text(task, "details"));
            let texts: Vec<(String, String)> =
                tasks.iter().map(|task| (text(task, "title").to_owned(), body(task))).collect();
            let words = Words::new(texts.iter().map(|(title, body)| (title.as_str(), body.as_str())));
            let page =
                |(title, body): &(String, String)| format!("{title}. {}", body.replace(['#', '\n'], " "));
            let (corpus, pages) = indexed("page.txt", &texts.iter().map(page).collect::<Vec<_>>());
            for (at, relevant) in relevant.iter().enumerate().filter(|(_, relevant)| !relevant.is_empty()) {
                let ranking: Vec<usize> = words.suggest(at).iter().map(|found| found.task).collect();
                ours.push(ndcg(&ranking, relevant));
                let mut by_words: Vec<usize> = Vec::new();
                let query = format!("{} {}", texts[at].0, texts[at].1);
                for hit in search(&corpus, &pages, &query, Ranking::Bm25).expect("not damaged").found {
                    if hit.text != at && !by_words.contains(&hit.text) {
                        by_words.push(hit.text);
                    }
                }
                let mut by_order: Vec<usize> = (0..texts.len()).filter(|other| *other != at).collect();
                by_order.sort_by_key(|other| (*other > at, at.abs_diff(*other)));
                let rank = |list: &[usize], one: usize| {
                    list.iter().position(|other| *other == one).unwrap_or(list.len())
                };
                let mut fused = by_order.clone();
                let score = |one: usize| {
                    1.0 / (60 + rank(&by_words, one)) as f64 + 1.0 / (60 + rank(&by_order, one)) as f64
                };
                fused.sort_by(|one, other| score(*other).total_cmp(&score(*one)));
                peers.push(ndcg(&fused, relevant));
            }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    println!("{plans} plans, {} tasks with dependencies", ours.len());
    println!("meu link suggest      nDCG@10 {:.3}", mean(&ours));
    println!("BM25 and order, fused nDCG@10 {:.3}", mean(&peers));
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["retrieval", folder] => retrieval(folder, Ranking::Bm25),
        ["retrieval-tfidf", folder] => retrieval(folder, Ranking::TfIdf),
        ["summaries", file, words] => summaries(file, words.parse().unwrap()),
        ["turns", folder] => turns(folder),
        ["tokens", files @ ..] => tokens(files),
        ["links", ..] => links(&words[1..]),
        _ => eprintln!(
            "say `retrieval FOLDER`, `summaries FILE WORDS`, `turns FOLDER`, `links FILE...` or `tokens FILE...`"
        ),
    }
}
