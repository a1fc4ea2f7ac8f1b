//! meu beside ninja on one layered graph: no-op run, status, check, one edit, first run.
//!
//! `cargo bench --bench graph [-- 1000 10000]`. Each task requires one to three earlier ones and reads one
//! of N/10 documents of 2 KB; it is a `template` for meu and a `cp` for ninja. Runs are interleaved, and
//! the medians of seven are shown with their ratio. Needs `ninja` on PATH; without it only meu is shown.

#![allow(clippy::disallowed_methods)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A small generator of numbers, the same on every machine (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

fn put(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(path, text).expect("a file");
}

fn document(at: u64, word: &str) -> String {
    let line = format!("Line of document {at} about {word} and what follows from it for everybody here.\n");
    format!("# Document {at}\n\n{}", line.repeat(2000 / line.len()))
}

fn generate(root: &Path, n: u64) {
    let (ours, theirs) = (root.join("meu"), root.join("ninja"));
    let mut numbers = Numbers(42);
    put(
        ours.join("meu.toml"),
        "[project]\nname = \"bench\"\n[context]\ntokenizer = \"chars\"\nbudget = 20000\n",
    );
    let mut ninja = String::from("rule cp\n  command = cp $first $out\n");
    for at in 0..n / 10 {
        for folder in [&ours, &theirs] {
            put(folder.join(format!("docs/{}/d{at}.md", at / 100)), &document(at, "kettles"));
        }
    }
    for at in 0..n {
        let id = |at: u64| format!("p{}/t{at}", at / 100);
        let links = if at == 0 { 0 } else { (1 + numbers.below(3)).min(at) };
        let mut requires: Vec<u64> = (0..links).map(|_| numbers.below(at)).collect();
        requires.sort_unstable();
        requires.dedup();
        let doc = numbers.below(n / 10);
        let doc = format!("docs/{}/d{doc}.md", doc / 100);
        let names: Vec<String> = requires.iter().map(|at| format!("{:?}", id(*at))).collect();
        put(
            ours.join(format!("tasks/{}.toml", id(at))),
            &format!(
                "title = \"Task {at}\"\nrun = \"template\"\nrequires = [{}]\ninputs = [{doc:?}]\nprompt = \"\"\"\n{}\n\n{{{{ text({:?}) }}}}\n\"\"\"\n",
                names.join(", "),
                "A line of a prompt that says what this part is for and how long.\n".repeat(6),
                format!("doc:{doc}"),
            ),
        );
        let outs: Vec<String> = requires.iter().map(|at| format!("out/{}.md", id(*at))).collect();
        writeln!(ninja, "build out/{}.md: cp {doc} | {}\n  first = {doc}", id(at), outs.join(" "))
            .expect("a string");
    }
    put(theirs.join("build.ninja"), &ninja);
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the command starts");
    let took = began.elapsed();
    assert!(status.success(), "{command:?}");
    took
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let sizes: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1000, 10_000] } else { sizes };
    let has_ninja = Command::new("ninja").arg("--version").output().is_ok();
    println!("| what | N | meu, ms | ninja, ms | meu / ninja |\n| --- | --- | --- | --- | --- |");
    for n in sizes {
        let root = std::env::temp_dir().join(format!("meu-bench-{}-{n}", std::process::id()));
        generate(&root, n);
        let meu = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_meu"));
            command.args(arguments).current_dir(root.join("meu"));
            timed(&mut command)
        };
        let ninja = || {
            let mut command = Command::new("ninja");
            command.current_dir(root.join("ninja"));
            timed(&mut command)
        };
        let row = |what: &str, ours: Vec<Duration>, theirs: Vec<Duration>| {
            let ours = median(ours);
            if theirs.is_empty() {
                println!("| {what} | {n} | {ours:.1} | | |");
            } else {
                let theirs = median(theirs);
                println!("| {what} | {n} | {ours:.1} | {theirs:.1} | {:.2} |", ours / theirs);
            }
        };
        let both = |what: &str, before: &dyn Fn(usize), arguments: &[&str], with_ninja: bool| {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for round in 0..7 {
                before(round);
                ours.push(meu(arguments));
                if has_ninja && with_ninja {
                    theirs.push(ninja());
                }
            }
            row(what, ours, theirs);
        };
        let first = vec![meu(&["run", "-q"])];
        row("first run", first, if has_ninja { vec![ninja()] } else { Vec::new() });
        // Files that are younger than two seconds are read again; let them age, as they do in life.
        std::thread::sleep(Duration::from_millis(2100));
        meu(&["run"]);
        both("no-op run", &|_| (), &["run"], true);
        both("status", &|_| (), &["status"], false);
        both("check", &|_| (), &["check"], false);
        let edit = |round: usize| {
            for folder in ["meu", "ninja"] {
                put(root.join(folder).join("docs/0/d7.md"), &document(7, &format!("round {round}")));
            }
        };
        both("one document edited", &edit, &["run"], true);
        fs::remove_dir_all(&root).expect("removed");
    }
}
