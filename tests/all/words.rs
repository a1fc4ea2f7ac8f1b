//! Laws 4 and 6 through the real command line, with a model that can do things while it answers.
//!
//! Law 4: what was sent is what was hashed. Law 6: a person's words are never lost. Random edits of outputs, also while a model answers and after
//! a crash, between runs, adopts, restores and changed requests: every line that was ever typed is in the
//! output, beside it, or among the kept texts that `meu cat` prints.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::house::House;

#[derive(Clone, Debug)]
enum Step {
    /// Typed into the output of a task, after some line.
    Type(usize, usize),
    /// Typed while the model answers the next request.
    TypeMeanwhile(usize),
    /// The model will answer otherwise, since its document changed.
    Document(usize),
    Run,
    /// The process dies at a write point of the run.
    Killed(u64),
    /// The disk is full from a write point of the run on.
    Full(u64),
    Adopt(usize),
    Restore(usize),
    Reject,
    Force(usize),
    /// The output's place changes.
    Moved(usize),
    /// The cut-off history and stat cache go, the cache stays.
    StateGone,
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0usize..2;
    prop_oneof![
        5 => (task.clone(), 0usize..6).prop_map(|(task, line)| Step::Type(task, line)),
        1 => task.clone().prop_map(Step::TypeMeanwhile),
        3 => (0usize..4).prop_map(Step::Document),
        4 => Just(Step::Run),
        2 => (1u64..14).prop_map(Step::Killed),
        1 => (1u64..14).prop_map(Step::Full),
        1 => task.clone().prop_map(Step::Adopt),
        1 => task.clone().prop_map(Step::Restore),
        1 => Just(Step::Reject),
        1 => task.clone().prop_map(Step::Force),
        1 => task.prop_map(Step::Moved),
        1 => Just(Step::StateGone),
    ]
}

const TASKS: [&str; 2] = ["a", "b"];

fn text_below(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text_below(&path, all);
        } else {
            all.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
            all.push('\n');
        }
    }
}

struct Play {
    house: House,
    typed: Vec<String>,
    places: [String; 2],
    revisions: usize,
}

impl Play {
    fn write_tasks(&self) {
        for (at, task) in TASKS.iter().enumerate() {
            let requires = if at == 1 { "requires = [\"a\"]\n" } else { "" };
            let revisions: Vec<String> = (0..self.revisions).map(|n| format!("revision {n}")).collect();
            self.house.put(
                &format!("tasks/{task}.toml"),
                format!(
                    "title = \"{task}\"\nprompt = \"answer\"\ninputs = [\"x.md\"]\noutput = {:?}\nrevisions = {revisions:?}\n{requires}",
                    self.places[at]
                ),
            );
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Type(task, line) => {
                let path = self.house.root().join(&self.places[*task]);
                let text = fs::read_to_string(&path).unwrap_or_default();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let word = format!("typed {} by hand", self.typed.len());
                lines.insert((*line).min(lines.len()), word.clone());
                self.house.put(&self.places[*task], lines.join("\n") + "\n");
                self.typed.push(word);
            }
            Step::TypeMeanwhile(task) => {
                let word = format!("typed {} meanwhile", self.typed.len());
                let place = &self.places[*task];
                self.house.hook(&format!(
                    "if [ \"$title\" = {} ]; then mkdir -p \"$(dirname {place})\"; printf '%s\\n' '{word}' >> {place}; fi\n",
                    TASKS[*task]
                ));
                self.house.asked();
                self.house.meu(&["run", "-k", "-j1", "--force", TASKS[*task]]);
                self.house.hook("");
                if self.house.asked().iter().any(|title| title == TASKS[*task]) {
                    self.typed.push(word);
                }
            }
            Step::Document(text) => {
                self.house.put("x.md", format!("document {text}\n"));
                for (at, task) in TASKS.iter().enumerate() {
                    let parts = ["one", "two", "three", "four"];
                    let lines: Vec<String> = parts
                        .iter()
                        .enumerate()
                        .map(|(number, part)| {
                            if number == *text { format!("{part} anew {at}\n") } else { format!("{part}\n") }
                        })
                        .collect();
                    self.house.answers(task, &lines.join("\n"));
                }
            }
            Step::Run => drop(self.house.meu(&["run", "-k"])),
            Step::Killed(at) => self.failing(&format!("kill:{at}")),
            Step::Full(at) => self.failing(&format!("full:{at}")),
            Step::Adopt(task) => drop(self.house.meu(&["adopt", TASKS[*task]])),
            Step::Restore(task) => drop(self.house.meu(&["restore", TASKS[*task]])),
            Step::Force(task) => drop(self.house.meu(&["run", "-k", "--force", TASKS[*task]])),
            Step::Reject => {
                self.revisions += 1;
                self.write_tasks();
            }
            Step::Moved(task) => {
                let other = if self.places[*task].starts_with("out") { "docs" } else { "out" };
                self.places[*task] = format!("{other}/{}.md", TASKS[*task]);
                self.write_tasks();
            }
            Step::StateGone => drop(fs::remove_file(self.house.root().join(".meu/state"))),
        }
    }

    fn failing(&mut self, how: &str) {
        self.house.env("MEU_FAIL", how);
        self.house.meu(&["run", "-k", "-j1"]);
        self.house.without_env("MEU_FAIL");
    }

    /// The typed lines that stand in outputs.
    fn standing(&self) -> Vec<String> {
        let mut all = String::new();
        for folder in ["out", "docs"] {
            text_below(&self.house.root().join(folder), &mut all);
        }
        self.typed.iter().filter(|word| all.contains(*word)).cloned().collect()
    }

    /// The typed lines that are nowhere.
    fn lost(&self) -> Vec<&str> {
        let mut all = String::new();
        for folder in ["out", "docs", ".meu/cache/texts"] {
            text_below(&self.house.root().join(folder), &mut all);
        }
        self.typed.iter().map(String::as_str).filter(|word| !all.contains(word)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(96),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_word_of_a_person_is_lost(steps in prop::collection::vec(step(), 1..14)) {
        let mut play = Play {
            house: House::new(),
            typed: Vec::new(),
            places: ["out/a.md".into(), "out/b.md".into()],
            revisions: 0,
        };
        play.write_tasks();
        play.take(&Step::Document(0));
        for step in &steps {
            let before = play.standing();
            play.take(step);
            // Only a restore takes a person's line out of an output; everything else merges or leaves it.
            if !matches!(step, Step::Restore(_)) {
                let after = play.standing();
                let gone: Vec<&String> = before.iter().filter(|word| !after.contains(word)).collect();
                prop_assert_eq!(gone, Vec::<&String>::new(), "replaced by {:?}", step);
            }
            prop_assert_eq!(play.lost(), Vec::<&str>::new(), "after {:?}", step);
        }
    }

    /// Law 4: a document that changes during a call leaves every task stale that was sent its old text,
    /// and what the model read is what the record's digest is of.
    #[test]
    fn an_edit_during_a_call_leaves_its_readers_stale(
        reads in prop::collection::vec(prop::collection::btree_set(0usize..3, 0..3), 3),
        during in 0usize..3,
        edited in 0usize..3,
    ) {
        let house = House::new();
        for document in 0..3 {
            house.put(&format!("d{document}.md"), format!("document {document}\n"));
        }
        for (task, documents) in reads.iter().enumerate() {
            let inputs: Vec<String> = documents.iter().map(|document| format!("d{document}.md")).collect();
            house.put(
                &format!("tasks/t{task}.toml"),
                format!("title = \"t{task}\"\nprompt = \"answer\"\ninputs = {inputs:?}\n"),
            );
        }
        house.hook(&format!(
            "printf '%s' \"$request\" > \"$HOME/sent-$title\"\nif [ \"$title\" = t{during} ]; then echo changed > d{edited}.md; fi\n"
        ));
        house.meu(&["run", "-j1"]).ok();
        house.hook("");
        let status = house.meu(&["status", "--json"]).json();
        for (task, documents) in reads.iter().enumerate() {
            let sent = fs::read_to_string(house.home().join(format!("sent-t{task}"))).expect("a request");
            let expected = if documents.contains(&edited) { "stale" } else { "fresh" };
            prop_assert_eq!(&status["tasks"][task]["state"], expected, "t{}", task);
            // What was sent has the old text of everything that it reads.
            for document in documents {
                let old = format!("document {document}");
                prop_assert!(sent.contains(&old), "{}", sent);
            }
        }
        house.asked();
        house.meu(&["run", "-j1"]).ok();
        let again: Vec<String> =
            reads.iter().enumerate().filter(|(_, documents)| documents.contains(&edited)).map(|(task, _)| format!("t{task}")).collect();
        prop_assert_eq!(house.asked(), again);
    }
}
