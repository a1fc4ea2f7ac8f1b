//! Parts by themselves: counting tokens beside the tokenizer's library alone, reading and writing the lock.
//!
//! `cargo bench --bench parts`. Medians of 21, taken in turn; the text is this project's own documentation.

#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use meu::lock::Lock;
use meu::spec::TokenizerName;

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1e3
}

fn lock_of(tasks: usize) -> String {
    let line = |at: usize| {
        let digest = meu::digest::Digest::of(at.to_string());
        format!(
            "{{\"task\":\"p/t{at:06}\",\"output\":\"out/p/t{at:06}.md\",\"request\":\"{digest}\",\"prompt\":\"{digest}\",\"model\":\"{digest}\",\"template\":\"{digest}\",\"items\":[{{\"ref\":\"doc:docs/{at}.md\",\"tier\":\"input\",\"form\":\"full\",\"digest\":\"{digest}\"}}],\"built\":{{\"blake3\":\"{digest}\",\"git\":\"6a4fdf8816d9250a0f297c1ac0c2f26f93cf1b51\"}}}}\n"
        )
    };
    std::iter::once("{\"meu_lock\":1}\n".to_owned()).chain((0..tasks).map(line)).collect()
}

fn main() {
    let text: String =
        ["README.md", "docs/tasks.md", "docs/contexts.md", "docs/staleness.md", "docs/files.md"]
            .map(|path| std::fs::read_to_string(path).expect("a page"))
            .concat();
    let library = tiktoken_rs::o200k_base_singleton();
    black_box(library.encode_ordinary(&text).len());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        ours.push(timed(|| meu::text::count(TokenizerName::O200k, &text)));
        theirs.push(timed(|| library.encode_ordinary(&text).len()));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let rate = text.len() as f64 / 1e3 / ours;
    println!("tokens: {rate:.1} MB/s, {:.2} of the library's speed", theirs / ours);
    let parse = |text: &str| Lock::parse(text).unwrap_or_else(|_| panic!("a lock"));
    for tasks in [1_000, 10_000, 100_000] {
        let (text, tenth) = (lock_of(tasks), lock_of(tasks / 10));
        let rounds = if tasks > 10_000 { 5 } else { 21 };
        let lock = parse(&text);
        assert!(lock.to_text() == text, "what is read is what was written");
        // What grows with the number of tasks, and not only because less of it is in the processor's cache: ten locks of
        // a tenth, all kept, are as much.
        let ten: Vec<Lock> = (0..10).map(|_| parse(&tenth)).collect();
        let taken: Vec<[Duration; 4]> = (0..rounds)
            .map(|_| {
                [
                    timed(|| parse(&text)),
                    timed(|| (0..10).map(|_| parse(&tenth)).collect::<Vec<_>>()),
                    timed(|| lock.to_text()),
                    timed(|| ten.iter().map(Lock::to_text).collect::<Vec<_>>()),
                ]
            })
            .collect();
        let [read, reads, written, writes] =
            [0, 1, 2, 3].map(|at| median(taken.iter().map(|it| it[at]).collect()));
        println!(
            "lock of {tasks}: read {read:.1} ms, {:.2} of ten of a tenth; written {written:.1} ms, {:.2}",
            read / reads,
            written / writes
        );
    }
}
