//! How many tasks with `retrieve.k = 3` an edit makes stale, over the real history of a documentation
//! folder, beside the least possible: those whose chosen sections changed.
//!
//! ```sh
//! cargo bench --bench churn -- REPOSITORY FOLDER
//! ```
//!
//! The tasks are questions of the documentation's own: the headings of its first state with the sentence
//! under each, at most a hundred of them. Every commit that touches the folder is one edit.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use meu::context::{Candidate, Corpus, Shelf, Source, Unreadable, first, look_up};
use meu::digest::Digest;
use meu::path::RelPath;
use meu::spec::{ItemRef, Retrieve, Subject, Tier};
use meu::text::{headings, portion};

const K: usize = 3;
const TASKS: usize = 100;

/// One state of the folder; the corpus goes from state to state.
#[derive(Default)]
struct State {
    texts: BTreeMap<RelPath, Arc<str>>,
    corpus: RefCell<Corpus>,
}

impl Shelf for State {
    fn digest(&self, path: &RelPath) -> Result<Option<Digest>, Unreadable> {
        Ok(self.texts.get(path).map(|text| Digest::of(&**text)))
    }
    fn text(&self, path: &RelPath) -> Result<Option<Arc<str>>, Unreadable> {
        Ok(self.texts.get(path).cloned())
    }
    fn corpus(&self) -> RefMut<'_, Corpus> {
        self.corpus.borrow_mut()
    }
}

impl State {
    fn searched(&self) -> Vec<Candidate> {
        let candidate = |path: &RelPath| Candidate {
            item: ItemRef::whole(Subject::Doc(path.to_string())),
            tier: Tier::Retrieved,
            pinned: false,
            source: Source::File { path: path.clone(), output_of: None, literal: false },
        };
        self.texts.keys().map(candidate).collect()
    }

    /// What a task takes: the references of its sections with their texts, by reference.
    fn chosen(&self, query: &str) -> BTreeMap<ItemRef, String> {
        let searched = self.searched();
        let hits =
            look_up(&searched[..], query, &Retrieve::default(), self, first(K)).expect("a search by words");
        hits.into_iter().map(|(_, hit, text)| (hit.item, text)).collect()
    }

    /// The text that a reference names now.
    fn now(&self, item: &ItemRef) -> Option<String> {
        let Subject::Doc(path) = &item.subject else { return None };
        let text = self.texts.get(&RelPath::parse(path).ok()?)?;
        Some(portion(path, text, item.heading.as_deref())?.into_owned())
    }
}

fn git(repository: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git").arg("-C").arg(repository).args(arguments).output().expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(repository: &str, commit: &str, folder: &str) -> BTreeMap<RelPath, Arc<str>> {
    let listed = git(repository, &["ls-tree", "-r", "--name-only", commit, "--", folder]);
    String::from_utf8_lossy(&listed)
        .lines()
        .filter(|path| path.ends_with(".md"))
        .filter_map(|path| {
            let text = String::from_utf8(git(repository, &["show", &format!("{commit}:{path}")])).ok()?;
            Some((RelPath::parse(path).ok()?, meu::text::normal(&text).into_owned().into()))
        })
        .collect()
}

fn questions(state: &State) -> Vec<String> {
    let mut questions = Vec::new();
    for text in state.texts.values() {
        for heading in headings(text) {
            let under = text[heading.head.end..heading.section.end].trim().split(". ").next().unwrap_or("");
            questions.push(format!("{}\n{under}", heading.text));
        }
    }
    let step = questions.len().div_ceil(TASKS).max(1);
    questions.into_iter().step_by(step).collect()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [repository, folder] = words.as_slice() else {
        eprintln!("say REPOSITORY FOLDER");
        return;
    };
    let log = git(repository, &["log", "--reverse", "--first-parent", "--format=%H", "--", folder]);
    let commits: Vec<String> = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
    let from = commits.len().saturating_sub(400);
    let mut state = State::default();
    let mut tasks: Vec<(String, BTreeMap<ItemRef, String>)> = Vec::new();
    let (mut edits, mut stale, mut least) = (0, 0, 0);
    for commit in &commits[from..] {
        state.texts = read(repository, commit, folder);
        if tasks.is_empty() {
            tasks = questions(&state).into_iter().map(|query| (query, BTreeMap::new())).collect();
            tasks.iter_mut().for_each(|(query, chosen)| *chosen = state.chosen(query));
            continue;
        }
        edits += 1;
        for (query, chosen) in &mut tasks {
            let now = state.chosen(query);
            stale += usize::from(now != *chosen);
            least += usize::from(chosen.iter().any(|(item, text)| state.now(item).as_ref() != Some(text)));
            *chosen = now;
        }
    }
    println!("{edits} edits, {} tasks with k = {K}", tasks.len());
    println!("stale {stale}, of them by a change of what they had taken {least}");
    println!("ratio {:.3}", stale as f64 / least.max(1) as f64);
}
