//! What a search looks through, as it is kept: whatever happens to files and to what is kept, a list that is taken
//! for standing gives what a search of the whole project gives.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meu::context::{Candidate, Searched, Shelf, first, look_up, searchable};
use meu::disk::{DiskShelf, Store, Workspace};
use meu::seal::{SearchList, keep_list};
use meu::spec::Retrieve;
use proptest::prelude::*;

use crate::house::{House, folder};
use crate::laws::{cases, gated_task, plan_of, run_whatever_comes};
use crate::seal::{Step, apply, as_by, next_tick, step};

/// What is told of each hit: reference, score to the last bit, words, text.
type Told = Vec<(String, u64, Vec<String>, String)>;

fn told<S: Searched + ?Sized>(searched: &S, shelf: &dyn Shelf) -> Told {
    let query = "how long the kettle boils water for ropes on the bridge";
    let hits = look_up(searched, query, &Retrieve::default(), shelf, first(20)).expect("a search by words");
    hits.into_iter()
        .map(|(_, hit, text)| (hit.item.to_string(), hit.score.to_bits(), hit.matched, text))
        .collect()
}

fn searched(workspace: &mut Workspace) -> Vec<Candidate> {
    let globs = workspace.graph.config.policy.retrieve.documents.clone();
    let documents = workspace.documents(&globs).expect("globs");
    searchable(&workspace.graph, &documents)
}

fn list(root: &Path) -> Option<(SearchList, DiskShelf)> {
    let store = Arc::new(Store::new(root).expect("a store"));
    let config = meu::disk::load_config(&store, &meu::diag::Sink::default());
    let shelf = DiskShelf::apart(store.clone(), config.expect("settings").index);
    Some((SearchList::read(&store, &shelf)?, shelf))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_list_that_stands_gives_what_the_whole_gives(
        plan in plan_of(gated_task()),
        steps in prop::collection::vec((step(), any::<bool>(), any::<bool>()), 1..8),
    ) {
        let temporary = folder();
        let root = temporary.path();
        let mut plan = plan;
        plan.write(root);
        run_whatever_comes(root, 2);
        for (step, old, saved) in steps {
            let Ok(mut workspace) = meu::disk::load(root) else { return Ok(()) };
            let all = searched(&mut workspace);
            let whole = told(&all[..], &workspace.shelf);
            if old {
                // As if all files had been changed long before they were looked at.
                workspace.listed.began.put_off(Duration::from_secs(10));
                next_tick(root);
            }
            keep_list(&workspace, &all);
            if saved {
                workspace.shelf.save();
            }
            let plain = workspace.warnings.is_empty() && !workspace.replay.found;
            let kept = list(root);
            prop_assert!(kept.is_some() || !old || !plain, "a list stands while nothing happens");
            if let Some((list, shelf)) = kept {
                prop_assert_eq!(&told(&list, &shelf), &whole);
            }
            apply(&step, &mut plan, root);
            let Some((list, shelf)) = list(root) else {
                prop_assert!(!matches!(step, Step::Nothing | Step::Renamed(_)) || !old || !plain, "{:?}", step);
                continue;
            };
            let found = told(&list, &shelf);
            if saved {
                shelf.save();
            }
            let Ok(mut again) = meu::disk::load(root) else {
                prop_assert!(false, "a project that is not whole has a list");
                return Ok(());
            };
            let all = searched(&mut again);
            prop_assert_eq!(found, told(&all[..], &again.shelf));
        }
    }
}

/// Two pages, a task that was built, and the list of a search as if it were old; as this program's.
fn listed() -> House {
    let house = House::new()
        .file("docs/kettle.md", "# Kettle\n\nThe kettle boils water.\n")
        .file("docs/rope.md", "# Rope\n\nRopes for boats.\n")
        .file("docs/named.md", "# Named\n\n## Care\n\nRinse the kettle.\n")
        .task("a", "")
        .task("b", "inputs = [\"docs/named.md#Care\"]\n");
    house.answers("a", "# Kettle\n\nKettle, kettle, kettle.\n");
    house.meu(&["run"]).ok();
    let mut workspace = meu::disk::load(&house.root()).expect("whole");
    let all = searched(&mut workspace);
    told(&all[..], &workspace.shelf);
    workspace.listed.began.put_off(Duration::from_secs(10));
    keep_list(&workspace, &all);
    house
}

/// What `meu search` says, by the list and without it; whether the list was of use.
fn both(house: &House, query: &str) -> (serde_json::Value, bool) {
    let kept = house.root().join(".meu/searched");
    let stands = list(&house.root()).is_some();
    as_by(Path::new(env!("CARGO_BIN_EXE_meu")), &kept);
    let by_list = house.meu(&["search", query, "--json"]).ok();
    fs::remove_file(&kept).expect("a list");
    let without = house.meu(&["search", query, "--json"]).ok();
    assert_eq!((&by_list.out, &by_list.err), (&without.out, &without.err));
    let hits = by_list.json()["hits"].as_array().expect("hits").clone();
    (hits.iter().map(|hit| hit["ref"].clone()).collect(), stands)
}

type Edit<'a> = &'a dyn Fn(&House);

#[test]
fn a_search_loads_the_project_only_where_more_than_texts_changed() {
    let edits: [(&str, Edit<'_>, bool, &[&str]); 9] = [
        ("nothing", &|_| {}, true, &["task:a", "doc:docs/kettle.md", "doc:docs/named.md"]),
        (
            "a page",
            &|house| house.put("docs/rope.md", "# Rope\n\nNo kettle.\n"),
            true,
            &["task:a", "doc:docs/kettle.md", "doc:docs/rope.md", "doc:docs/named.md"],
        ),
        (
            "an output",
            &|house| house.put("out/a.md", "mine\n"),
            true,
            &["doc:docs/kettle.md", "doc:docs/named.md"],
        ),
        (
            "a page whose section a task names",
            &|house| house.put("docs/named.md", "# Named\n\n## Care\n\nRinse it.\n"),
            false,
            &["task:a", "doc:docs/kettle.md"],
        ),
        (
            "a page that comes",
            &|house| house.put("docs/new.md", "# New\n\nA kettle.\n"),
            false,
            &["task:a", "doc:docs/kettle.md", "doc:docs/new.md", "doc:docs/named.md"],
        ),
        (
            "a page that goes",
            &|house| house.remove("docs/kettle.md"),
            false,
            &["task:a", "doc:docs/named.md"],
        ),
        (
            "a page that is no text",
            &|house| fs::write(house.root().join("docs/kettle.md"), b"kettle \xff").expect("written"),
            false,
            &["task:a", "doc:docs/named.md"],
        ),
        (
            "a task that goes",
            &|house| house.remove("tasks/a.toml"),
            false,
            &["doc:docs/kettle.md", "doc:docs/named.md"],
        ),
        (
            "the project's settings",
            &|house| {
                let config = house.read("meu.toml");
                house.put(
                    "meu.toml",
                    config.replace("[context]", "[context]\nretrieve = { documents = [\"docs/k*\"] }"),
                );
            },
            false,
            &["task:a", "doc:docs/kettle.md"],
        ),
    ];
    for (name, edit, stands, refs) in edits {
        let house = listed();
        edit(&house);
        assert_eq!(both(&house, "kettle"), (refs.into(), stands), "{name}");
    }
}

#[test]
fn a_run_that_searches_little_leaves_the_rest_of_the_index() {
    let retrieve = "retrieve = { k = 1, from = \"documents\", documents = [\"docs/k*\"] }";
    let task = format!("prompt = \"What the kettle boils\"\n[context]\n{retrieve}\n");
    let house = House::new()
        .file("docs/kettle.md", "# Kettle\n\nThe kettle boils water.\n")
        .file("tasks/a.toml", task);
    for at in 0..100 {
        house.put(&format!("docs/page{at}.md"), format!("# Page {at}\n\nRopes for boat {at}.\n"));
    }
    house.run_asks(&["A"]);
    let mut workspace = meu::disk::load(&house.root()).expect("whole");
    let all = searched(&mut workspace);
    told(&all[..], &workspace.shelf);
    workspace.shelf.save();
    workspace.listed.began.put_off(Duration::from_secs(10));
    keep_list(&workspace, &all);
    let size = || -> u64 {
        let files = fs::read_dir(house.root().join(".meu/corpus")).expect("an index");
        files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
    };
    let before = size();
    house.put("docs/kettle.md", "# Kettle\n\nThe kettle boils no water.\n");
    house.run_asks(&["A"]);
    assert!(size() > before, "{} and {before}", size());
    // Without such searches it goes by what runs look for.
    fs::remove_file(house.root().join(".meu/searched")).expect("a list");
    house.put("docs/kettle.md", "# Kettle\n\nThe kettle boils tea.\n");
    house.run_asks(&["A"]);
    assert!(size() < before / 4, "{} and {before}", size());
}

#[test]
fn what_is_redacted_is_in_no_list() {
    let house = listed();
    let config = house.read("meu.toml");
    house.put("meu.toml", format!("{config}\n[redact]\npatterns = [\"boils\"]\n"));
    let said = house.meu(&["search", "kettle"]).ok().out;
    assert!(!said.contains("boils") && said.contains("kettle"), "{said}");
    let mut workspace = meu::disk::load(&house.root()).expect("whole");
    let all = searched(&mut workspace);
    workspace.listed.began.put_off(Duration::from_secs(10));
    fs::remove_file(house.root().join(".meu/searched")).expect("the old one");
    keep_list(&workspace, &all);
    assert!(!house.root().join(".meu/searched").exists());
}
