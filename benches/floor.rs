//! The machine's floors, for `benches/speed.py`: what it takes to look at files, to walk folders, to write files
//! with a rename, and to start programs, and nothing else.
//!
//! `floor stat THREADS LIST`, `floor walk FOLDER…`, `floor write FOLDER N`, `floor start N PROGRAM ARGUMENT…`.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

/// The names in each folder below `root`, by folder.
fn names(root: &Path, all: &mut Vec<(PathBuf, Vec<std::ffi::OsString>)>) {
    let mut here = Vec::new();
    let mut below = Vec::new();
    for entry in fs::read_dir(root).expect("a folder").flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => below.push(entry.path()),
            false => here.push(entry.file_name()),
        }
    }
    all.push((root.to_owned(), here));
    below.iter().for_each(|folder| names(folder, all));
}

/// Looks at every file of a list that `floor list` made: relative to its folder, on several threads.
fn stat(threads: usize, list: &str) {
    let folders: Vec<(&str, Vec<&str>)> = list
        .split("\n\n")
        .filter_map(|block| {
            let mut lines = block.lines();
            Some((lines.next()?, lines.collect()))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let seen = AtomicUsize::new(0);
    let work = || {
        while let Some((folder, names)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = openat(CWD, *folder, flags, Mode::empty()).expect("a folder");
            let sizes =
                names.iter().map(|name| statat(&handle, *name, AtFlags::empty()).expect("a file").st_size);
            seen.fetch_add(sizes.sum::<i64>() as usize, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    assert!(seen.into_inner() > 0, "there is something");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list", ref folders @ ..] => {
            let mut all = Vec::new();
            folders.iter().for_each(|folder| names(Path::new(folder), &mut all));
            for (folder, names) in all.iter().filter(|(_, names)| !names.is_empty()) {
                println!("{}", folder.display());
                names.iter().for_each(|name| println!("{}", name.display()));
                println!();
            }
        }
        ["stat", threads, list] => {
            stat(threads.parse().expect("a number"), &fs::read_to_string(list).expect("a list"));
        }
        ["walk", ref folders @ ..] => {
            let mut all = Vec::new();
            folders.iter().for_each(|folder| names(Path::new(folder), &mut all));
        }
        ["write", folder, n] => {
            fs::create_dir_all(folder).expect("a folder");
            let text = "x".repeat(1000);
            for at in 0..n.parse::<usize>().expect("a number") {
                let (new, place) = (format!("{folder}/new"), format!("{folder}/{at}"));
                fs::write(&new, &text).expect("written");
                fs::rename(new, place).expect("renamed");
            }
        }
        ["start", n, program, ref arguments @ ..] => {
            for _ in 0..n.parse::<usize>().expect("a number") {
                let said = Command::new(program).args(arguments).output().expect("a program");
                assert!(said.status.success() && !said.stdout.is_empty(), "it says something");
            }
        }
        _ => println!("benches/speed.py uses this: list, stat, walk, write, start"),
    }
}
