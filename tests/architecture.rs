//! The house: rooms import only what comes before them, and only doors touch the world.

// Tests play the person and the world outside.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The doors: rooms that may touch files, the network, the clock or the environment.
const DOORS: [&str; 5] = ["disk", "provider", "seal", "show", "watch"];

/// What only doors may say, outside of tests.
const WORLD: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process::Command",
    "Instant::now",
    "SystemTime",
    "File::open",
    "File::create",
    "ureq::",
    "println!",
];

/// Each room's source files, by the order in which lib.rs lists the rooms.
fn rooms() -> Vec<(String, BTreeMap<String, String>)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names
        .map(|name| {
            let mut files = BTreeMap::new();
            let flat = src.join(format!("{name}.rs"));
            if flat.exists() {
                files.insert(format!("{name}.rs"), fs::read_to_string(flat).expect("a room"));
            } else {
                read_folder(&src, name, &mut files);
            }
            (name.to_owned(), files)
        })
        .collect()
}

fn read_folder(src: &Path, folder: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(src.join(folder)).expect("a room").flatten() {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_folder(src, &name, files);
        } else {
            files.insert(name, fs::read_to_string(entry.path()).expect("a room"));
        }
    }
}

/// What is wrong with the house.
fn faults(rooms: &[(String, BTreeMap<String, String>)]) -> Vec<String> {
    let names: Vec<&str> = rooms.iter().map(|(name, _)| name.as_str()).collect();
    let mut faults = Vec::new();
    for (at, (room, files)) in rooms.iter().enumerate() {
        for (file, text) in files {
            if !text.starts_with("//!") {
                faults.push(format!("{file} does not say what lives there"));
            }
            let body = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
            for (number, line) in body.lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                for later in &names[at + 1..] {
                    let whole = |next: Option<char>| next.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                    let named = format!("crate::{later}");
                    let found = code
                        .match_indices(&named)
                        .any(|(from, _)| whole(code[from + named.len()..].chars().next()));
                    if found {
                        faults.push(format!("{file}:{} looks up from {room} to {later}", number + 1));
                    }
                }
                let grouped = code.trim_start().starts_with("use crate::{");
                if grouped {
                    faults.push(format!("{file}:{} hides its rooms in a group", number + 1));
                }
                if !DOORS.contains(&room.as_str()) {
                    for word in WORLD.iter().filter(|word| code.contains(**word)) {
                        faults.push(format!("{file}:{} touches the world with {word}", number + 1));
                    }
                }
            }
        }
    }
    faults
}

#[test]
fn data_walks_one_way_and_only_doors_touch_the_world() {
    assert_eq!(faults(&rooms()), [""; 0]);
}

#[test]
fn a_planted_uphill_import_is_found() {
    let mut rooms = rooms();
    let (_, files) = rooms.iter_mut().find(|(name, _)| name == "graph").expect("graph");
    files.get_mut("graph/order.rs").expect("order.rs").push_str("\nuse crate::run::Survey;\n");
    let faults = faults(&rooms);
    assert_eq!(faults.len(), 0, "below the tests it is not seen: {faults:?}");

    let (_, files) = rooms.iter_mut().find(|(name, _)| name == "graph").expect("graph");
    let text = files.get_mut("graph/order.rs").expect("order.rs");
    *text = text.replacen("use super::", "use crate::run::Survey;\nuse super::", 1);
    let faults = self::faults(&rooms);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("looks up from graph to run"), "{faults:?}");
}

#[test]
fn a_planted_file_access_in_a_pure_room_is_found() {
    let mut rooms = rooms();
    let (_, files) = rooms.iter_mut().find(|(name, _)| name == "plan").expect("plan");
    let text = files.get_mut("plan.rs").expect("plan.rs");
    *text = text.replacen("use serde", "use std::fs;\nuse serde", 1);
    let faults = faults(&rooms);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].contains("plan.rs") && faults[0].contains("touches the world with std::fs"),
        "{faults:?}"
    );
}

#[test]
fn lib_rs_tells_the_rooms_in_order() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    let told: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next()).collect();
    let listed: Vec<String> = rooms().into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, listed);
    let doors: Vec<&str> = lib
        .lines()
        .filter(|line| line.starts_with("//! - [`") && line.contains('◇'))
        .filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next())
        .collect();
    assert_eq!(doors, DOORS);
}
