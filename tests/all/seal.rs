//! The seal: whatever happens to files and to the seal itself, a finding that is taken for standing is what
//! a whole look finds; and so is a project that is loaded again.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meu::digest::Digest;
use meu::disk::{Recorded, Stat, Store, Workspace};
use meu::event::Event;
use meu::plan::State;
use meu::provider::Providers;
use meu::run::{Counts, Options, Ran, Row, Survey, adopt, approve, restore, rows, run};
use meu::seal::{Part, Seal, keep};
use proptest::prelude::*;

use crate::house::{House, Said, files, folder};
use crate::laws::{
    DOCS, Edit, Happened, IDS, PROMPTS, Plan, TEXTS, cases, edit_of, gated_task, load, plan_of, run_loaded,
    run_whatever_comes,
};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Edit(Edit),
    Run,
    Nothing,
    /// Another text of the same length, with the time of the old one.
    RolledBack(usize),
    /// The clock of whoever saved was wrong.
    WrongClock(usize, i64),
    OutputEdited(usize),
    FolderMovedBehindLink,
    SealGone,
    SealDamaged(prop::sample::Index),
    SealCut(prop::sample::Index),
    SealOlder,
    /// An editor saves by a rename.
    Renamed(usize),
    /// A person decides about an output.
    Person(usize, Deed),
}

#[derive(Clone, Debug)]
pub(super) enum Deed {
    Writes(usize),
    Adopts,
    Approves,
    Restores,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let doc = 0..DOCS.len();
    prop_oneof![
        6 => edit_of(gated_task()).prop_map(Step::Edit),
        3 => Just(Step::Run),
        1 => Just(Step::Nothing),
        2 => doc.clone().prop_map(Step::RolledBack),
        1 => (doc.clone(), prop_oneof![Just(-2_000_000_000i64), Just(2_000_000_000)])
            .prop_map(|(doc, by)| Step::WrongClock(doc, by)),
        2 => (0..IDS.len()).prop_map(Step::OutputEdited),
        1 => Just(Step::FolderMovedBehindLink),
        1 => Just(Step::SealGone),
        2 => any::<prop::sample::Index>().prop_map(Step::SealDamaged),
        1 => any::<prop::sample::Index>().prop_map(Step::SealCut),
        1 => Just(Step::SealOlder),
        1 => doc.prop_map(Step::Renamed),
        4 => (0..IDS.len(), deed()).prop_map(|(id, deed)| Step::Person(id, deed)),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => (0..TEXTS.len()).prop_map(Deed::Writes),
        2 => Just(Deed::Adopts),
        2 => Just(Deed::Approves),
        1 => Just(Deed::Restores),
    ]
}

/// Mostly such as change texts alone.
fn step_of_a_part() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..DOCS.len(), 0..TEXTS.len()).prop_map(|(doc, text)| Step::Edit(Edit::Doc(doc, text))),
        2 => (0..IDS.len(), 0..PROMPTS.len()).prop_map(|(id, prompt)| Step::Edit(Edit::Prompt(id, prompt))),
        1 => (0..IDS.len()).prop_map(|id| Step::Edit(Edit::OutputGone(id))),
        2 => step(),
    ]
}

/// What a power cut leaves of a file that is written over.
#[derive(Clone, Debug)]
enum Torn {
    /// One version up to somewhere, the other from there on.
    At(prop::sample::Index, bool),
    /// Blocks of both, of so many bytes.
    InBlocks(usize, u64),
}

fn torn() -> impl Strategy<Value = Torn> {
    prop_oneof![
        any::<(prop::sample::Index, bool)>().prop_map(|(at, old_first)| Torn::At(at, old_first)),
        (prop::sample::select(vec![32, 256, 1024]), any::<u64>())
            .prop_map(|(length, old)| Torn::InBlocks(length, old)),
    ]
}

impl Torn {
    fn of(&self, old: &[u8], new: &[u8]) -> Vec<u8> {
        match self {
            Torn::At(at, true) => [&old[..at.index(old.len())], &new[at.index(new.len())..]].concat(),
            Torn::At(at, false) => [&new[..at.index(new.len())], &old[at.index(old.len())..]].concat(),
            Torn::InBlocks(length, mask) => {
                let block = |(at, (old, new))| if mask >> (at % 64) & 1 == 1 { old } else { new };
                old.chunks(*length)
                    .zip(new.chunks(*length))
                    .enumerate()
                    .map(block)
                    .collect::<Vec<_>>()
                    .concat()
            }
        }
    }
}

/// Waits until the file system's clock has moved on: a change in one tick with the look before it is
/// what git's rule is for, and that is a test of its own.
pub(super) fn next_tick(root: &Path) {
    let probe = root.join(".probe");
    let tick = || {
        fs::write(&probe, "x").expect("a probe");
        let meta = fs::metadata(&probe).expect("a probe");
        (meta.ctime(), meta.ctime_nsec())
    };
    let now = tick();
    while tick() == now {}
    fs::remove_file(probe).expect("removed");
}

pub(super) fn apply(step: &Step, plan: &mut Plan, root: &Path) {
    let kept = ["seal", "searched"].map(|name| root.join(".meu").join(name));
    let doc = |at: usize| Some(root.join(DOCS[at])).filter(|path| path.is_file());
    match step {
        Step::Edit(edit) => plan.apply(edit, root),
        Step::Run => drop(run_whatever_comes(root, 2)),
        Step::Nothing => {}
        Step::RolledBack(at) => {
            let Some(path) = doc(*at) else { return };
            let when = fs::metadata(&path).expect("a document").modified().expect("a time");
            let mut text = fs::read(&path).expect("a document");
            if let Some(first) = text.iter_mut().find(|byte| byte.is_ascii_lowercase()) {
                *first = if *first == b'z' { b'a' } else { *first + 1 };
            }
            fs::write(&path, text).expect("written");
            fs::File::options().append(true).open(&path).expect("open").set_modified(when).expect("a time");
        }
        Step::WrongClock(at, by) => {
            let Some(path) = doc(*at) else { return };
            fs::write(&path, TEXTS[1]).expect("written");
            let when = match u64::try_from(*by) {
                Ok(by) => SystemTime::now() + Duration::from_secs(by),
                Err(_) => SystemTime::now() - Duration::from_secs(by.unsigned_abs()),
            };
            fs::File::options().append(true).open(&path).expect("open").set_modified(when).expect("a time");
        }
        Step::OutputEdited(id) => {
            let path = root.join("out").join(format!("{}.md", IDS[*id]));
            if path.is_file() {
                fs::write(path, "A person wrote this.\n").expect("written");
            }
        }
        Step::FolderMovedBehindLink => {
            if root.join("docs").is_dir() && !root.join("elsewhere").exists() {
                fs::rename(root.join("docs"), root.join("elsewhere")).expect("moved");
                std::os::unix::fs::symlink("elsewhere", root.join("docs")).expect("a link");
            }
        }
        Step::SealGone => kept.iter().for_each(|seal| drop(fs::remove_file(seal))),
        Step::SealDamaged(_) | Step::SealCut(_) | Step::SealOlder => {
            for seal in kept {
                let Ok(file) = fs::File::options().read(true).write(true).open(&seal) else { continue };
                let length = file.metadata().expect("a seal").len();
                match step {
                    Step::SealDamaged(at) => {
                        let at = at.index(length as usize) as u64;
                        let mut byte = [0];
                        file.read_exact_at(&mut byte, at).expect("a byte");
                        file.write_all_at(&[byte[0] ^ 0x20], at).expect("damaged");
                    }
                    Step::SealCut(at) => file.set_len(at.index(length as usize) as u64).expect("cut"),
                    _ => file.write_all_at(b"meu seal 0\n", 0).expect("older"),
                }
            }
        }
        Step::Person(id, Deed::Writes(text)) => {
            let path = root.join("out").join(format!("{}.md", IDS[*id]));
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, TEXTS[*text]).expect("written");
        }
        Step::Person(id, deed) => {
            let Ok(workspace) = meu::disk::load(root) else { return };
            let Some(task) = workspace.graph.find(IDS[*id]) else { return };
            let decide = match deed {
                Deed::Adopts => adopt,
                Deed::Approves => approve,
                _ => restore,
            };
            // Of what is not there, or of no use, nothing is to be decided.
            drop(decide(&workspace, &[task]));
        }
        Step::Renamed(at) => {
            let Some(path) = doc(*at) else { return };
            let beside = path.with_extension("tmp");
            fs::copy(&path, &beside).expect("copied");
            fs::rename(beside, path).expect("renamed");
        }
    }
}

/// The finding of the last evaluation, if all that it read is as it was.
fn standing(store: &Store) -> Option<Seal> {
    Seal::read(store).filter(Seal::stands)
}

/// What a whole look finds; nothing if the project is not whole.
fn look(root: &Path) -> Option<(Workspace, Vec<Row>)> {
    let workspace = meu::disk::load(root).ok()?;
    let found = rows(&workspace, &Survey::all(&workspace, None));
    Some((workspace, found))
}

proptest! {
    #![proptest_config(cases())]

    /// With files that are trusted by their stamps, and with such as are too young for that.
    #[test]
    fn a_finding_that_stands_is_true(plan in plan_of(gated_task()), steps in prop::collection::vec((step(), any::<bool>()), 1..8)) {
        let temporary = folder();
        let root = temporary.path();
        let mut plan = plan;
        plan.write(root);
        run_whatever_comes(root, 2);
        for (step, old) in steps {
            let Some((before, found)) = look(root) else { return Ok(()) };
            let settled = found.iter().all(Row::passes_check) && {
                let again = run_whatever_comes(root, 2);
                let fresh = again.ran.sums.fresh == before.graph.len();
                if fresh {
                    prop_assert_eq!(&rows(&before, &again.ran.verdicts), &found, "a run sees what status sees");
                }
                fresh
            };
            // What a person wrote may only now be on record.
            let Some((mut workspace, found)) = look(root) else { return Ok(()) };
            if old {
                // As if all files had been changed long before they were looked at.
                workspace.listed.began.put_off(Duration::from_secs(10));
                next_tick(root);
            }
            keep(&workspace, &found, Recorded::Nothing, settled);
            let workspace = workspace.stamped();
            let store = Store::new(root).expect("a store");
            let sealed = standing(&store);
            let plain = workspace.warnings.is_empty();
            // Folders that are too young make none; one of before may still stand.
            prop_assert!(sealed.is_some() || !old || !plain, "a seal stands while nothing happens");
            apply(&step, &mut plan, root);
            // What a watch loads again is what a new process loads.
            let again = meu::disk::reload(root, Some(workspace), &meu::disk::load);
            let again = again.ok().map(|again| rows(&again, &Survey::all(&again, None)));
            prop_assert_eq!(again, look(root).map(|(_, rows)| rows));
            let Some(seal) = standing(&store) else {
                prop_assert!(!matches!(step, Step::Nothing) || !old || !plain, "nothing happened");
                continue;
            };
            let Some((_, now)) = look(root) else {
                prop_assert!(false, "a project that is not whole has a finding");
                return Ok(());
            };
            prop_assert_eq!(seal.counts().tasks(), now.iter().filter(|row| row.state != State::Orphan).count());
            prop_assert_eq!(seal.passes_check(), now.iter().all(Row::passes_check));
            // Rows that are damaged are no rows.
            if let Some(sealed) = seal.rows(true) {
                prop_assert_eq!(&sealed, &now);
            }
            if let Some(loud) = seal.rows(false) {
                prop_assert_eq!(loud, now.into_iter().filter(|row| !row.state.is_quiet()).collect::<Vec<_>>());
            }
            if seal.is_settled() {
                let before = files(root);
                let ran = run_whatever_comes(root, 2);
                prop_assert!(ran.ended.is_empty(), "a settled run did {:?}", ran.ended);
                prop_assert!(files(root) == before, "a settled run wrote");
            }
        }
        drop(load(root));
    }
}

proptest! {
    #![proptest_config(cases())]

    /// What is found of a part, and what a run makes of it, is what is found and made of the whole.
    #[test]
    fn a_part_is_what_it_is_in_the_whole(plan in plan_of(gated_task()), steps in prop::collection::vec((step_of_a_part(), any::<bool>(), torn()), 1..8)) {
        let temporary = folder();
        let root = &temporary.path().join("project");
        fs::create_dir(root).expect("a folder");
        let mut plan = plan.without_globs();
        plan.write(root);
        for (step, run_before, torn) in steps {
            if run_before {
                let Ok(mut loaded) = meu::disk::load(root) else { return Ok(()) };
                let Happened { ran, .. } = run_loaded(&loaded, 2);
                loaded.listed.began.put_off(Duration::from_secs(10));
                next_tick(root);
                let written = meu::cli::write_index(&loaded).expect("written");
                if ran.is_final() && !written {
                    drop(fs::remove_file(root.join(".meu/seal")));
                    keep(&loaded, &rows(&loaded, &ran.verdicts), ran.recorded, true);
                    let seal = standing(&loaded.store);
                    prop_assert!(seal.is_some() || !loaded.warnings.is_empty());
                    if let Some(seal) = seal {
                        let (_, now) = look(root).expect("whole");
                        prop_assert_eq!(seal.rows(true), Some(now));
                        let before = files(root);
                        let ran = run_whatever_comes(root, 2);
                        prop_assert!(ran.ended.is_empty() && files(root) == before, "a settled run did {:?}", ran.ended);
                    }
                }
            }
            let Some((mut workspace, found)) = look(root) else { return Ok(()) };
            workspace.listed.began.put_off(Duration::from_secs(10));
            next_tick(root);
            let settled = found.iter().all(Row::passes_check) && {
                let before = files(root);
                run_whatever_comes(root, 2).ended.is_empty() && before == files(root)
            };
            keep(&workspace, &found, Recorded::Nothing, settled);
            apply(&step, &mut plan, root);
            let store = &workspace.store;
            let Some((part, some)) = Seal::read(store).filter(|seal| !seal.stands() || !settled).and_then(|seal| seal.part(store)) else {
                continue;
            };
            let whole = look(root);
            prop_assert!(whole.is_some(), "a project that is not whole has no part");
            let Some((_, now)) = whole else { return Ok(()) };
            let verdicts = Survey::all(&some, None);
            // Rows that are damaged are no rows.
            if let Some(rows) = part.rows(&some, &verdicts, true) {
                prop_assert_eq!(rows, (now.clone(), Counts::of(&now)));
            }
            let loud = now.iter().filter(|row| !row.state.is_quiet()).cloned().collect();
            prop_assert_eq!(part.rows(&some, &verdicts, false), Some((loud, Counts::of(&now))));
            if !settled {
                // Records of tasks outside could be out of date, too.
                continue;
            }

            let copy = temporary.path().join("copy");
            copy_all(root, &copy);
            let theirs = run_whatever_comes(&copy, 1);
            let ours = run_loaded(&some, 1);
            prop_assert_eq!(&ours.ended, &theirs.ended);
            prop_assert_eq!(&ours.ran.sums, &theirs.ran.sums);
            prop_assert_eq!((ours.ran.not_reached, &ours.ran.undone), (theirs.ran.not_reached, &theirs.ran.undone));
            prop_assert_eq!(files(root), files(&copy));
            fs::remove_dir_all(&copy).expect("removed");
            let kept = root.join(".meu/seal");
            let before = fs::read(&kept).expect("a seal");
            part.keep(&some, &ours.ran);
            let after = fs::read(&kept).expect("a seal");
            let (_, now) = look(root).expect("whole");
            if before.len() == after.len() {
                fs::write(&kept, torn.of(&before, &after)).expect("written");
                if let Some(seal) = standing(store) {
                    prop_assert!(seal.rows(true).is_none_or(|rows| rows == now));
                    prop_assert_eq!(seal.counts(), &Counts::of(&now));
                } else if let Some((part, some)) = Seal::read(store).and_then(|seal| seal.part(store)) {
                    let rows = part.rows(&some, &Survey::all(&some, None), true);
                    prop_assert!(rows.is_none_or(|rows| rows == (now.clone(), Counts::of(&now))));
                }
                fs::write(&kept, after).expect("written");
            }
            let Some(seal) = standing(store) else { continue };
            prop_assert!(seal.rows(true).is_none_or(|rows| rows == now));
            prop_assert_eq!(seal.counts(), &Counts::of(&now));
            if seal.is_settled() {
                let before = files(root);
                let ran = run_whatever_comes(root, 2);
                prop_assert!(ran.ended.is_empty() && files(root) == before, "a settled run did {:?}", ran.ended);
            }
        }
    }
}

/// A run of a loaded project that is told what happens.
fn run_and(workspace: &Workspace, cancel: &dyn Fn() -> bool, tell: &mut dyn FnMut(&Event)) -> Ran {
    let providers =
        Providers::new(&workspace.graph.config, workspace.redactor.clone(), workspace.store.root());
    let targets = workspace.graph.nodes().map(|(ix, _)| ix).collect();
    let options = Options { targets, jobs: 1, ..Options::default() };
    run(workspace, &providers, &options, cancel, tell).expect("the run ends well")
}

/// Whether what a run found is kept, its files old.
fn is_kept(mut workspace: Workspace, ran: &Ran) -> bool {
    workspace.listed.began.put_off(Duration::from_secs(10));
    let seal = workspace.store.meu().join("seal");
    drop(fs::remove_file(&seal));
    if ran.is_final() {
        keep(&workspace, &rows(&workspace, &ran.verdicts), ran.recorded, true);
    }
    seal.is_file()
}

/// Tasks of the offline provider; b waits for a, and reads what c reads.
fn drafted() -> House {
    House::empty()
        .file("meu.toml", "[project]\nname = \"p\"\n")
        .file("docs/d.md", "# D\n\nText of some length, to be drafted from.\n")
        .file("docs/e.md", "# E\n\nText of some length, to be drafted from.\n")
        .task("a", "inputs = [\"docs/e.md\"]")
        .task("b", "requires = [\"a\"]\ninputs = [\"docs/d.md\"]")
        .task("c", "priority = -1\ninputs = [\"docs/d.md\"]")
}

#[test]
fn what_is_saved_while_a_part_is_loaded_makes_it_none() {
    let house = drafted().file("templates/task.txt", "{{ prompt }}\n").file("INDEX.md", "# Index\n");
    house.meu(&["run", "-q"]).ok();
    seal_here(&house);
    house.put("docs/e.md", "# E\n\nAnother text of some length.\n");
    let store = Arc::new(Store::new(&house.root()).expect("a store"));
    let part = |name: &str| {
        let seal = Seal::read(&store).expect("a seal");
        let path = house.root().join(name);
        let text = fs::read(&path).unwrap_or_default();
        if !name.is_empty() {
            fs::write(&path, [&text[..], b"\n# saved\n"].concat()).expect("saved");
        }
        let part = seal.part(&store).is_some();
        if !name.is_empty() {
            fs::write(&path, text).expect("taken back");
        }
        part
    };
    assert!(part(""));
    for name in ["tasks/a.toml", "tasks/b.toml", "meu.toml", "templates/task.txt", "INDEX.md", "meu.lock"] {
        assert!(!part(name), "{name}");
        seal_here(&house);
        house.put("docs/e.md", format!("# E\n\nAnother text, after {name}.\n"));
    }
}

#[test]
fn a_repository_within_has_rules_of_its_own_though_sealed() {
    let house = House::new()
        .file(".gitignore", "ign*\n.meu/\n")
        .file("notes/deep/ign.md", "# Ignored\n")
        .file("notes/deep/b.md", "# B\n")
        .task("a", "inputs = [\"notes/**/*.md\"]");
    house.git(&["init", "-q"]);
    house.run_asks(&["a"]);
    seal_as_old(&house);
    house.meu(&["status", "--check"]).ok();
    house.git(&["init", "-q", "notes/deep"]);
    assert_eq!(house.meu(&["status", "--check"]).code, 3);
    house.run_asks(&["a"]);
}

#[test]
fn a_run_that_was_cancelled_is_not_kept() {
    let house = drafted();
    house.meu(&["check"]).ok();
    let load = || meu::disk::load(&house.root()).expect("whole");
    let workspace = load();
    workspace.store.make_meu().expect("made");
    let ran = run_and(&workspace, &|| true, &mut |_| ());
    assert_eq!(ran.not_reached, 3);
    assert!(!is_kept(workspace, &ran));
    let workspace = load();
    let ran = run_and(&workspace, &|| false, &mut |_| ());
    assert!(is_kept(workspace, &ran), "one that was not is");
}

#[test]
fn a_run_in_which_a_document_changed_is_not_kept() {
    let house = drafted();
    house.meu(&["run", "-q"]).ok();
    seal_here(&house);
    for edited in [false, true] {
        house.put("docs/e.md", format!("# E\n\nAnother text of some length, edited: {edited}.\n"));
        let store = Arc::new(Store::new(&house.root()).expect("a store"));
        let (part, workspace) = Seal::read(&store).expect("a seal").part(&store).expect("a part");
        // What b reads of d is not what it was when b was looked at.
        let ran = run_and(&workspace, &|| false, &mut |event| {
            if edited && matches!(event, Event::TaskStarted { task, .. } if task == "a") {
                house.put("docs/d.md", "# D\n\nNew words while a is asked for.\n");
            }
        });
        assert_eq!((ran.sums.built, ran.sums.failed, ran.not_reached), (2, 0, 0));
        let seal = || fs::read(house.root().join(".meu/seal")).expect("a seal");
        let before = seal();
        part.keep(&workspace, &ran);
        assert_eq!(seal() == before, edited);
    }
    assert_eq!(house.meu(&["status", "--check"]).code, 3, "c is to be made again");
}

/// A project of four tasks: when `docs/e.md` changes, `a` comes out as it was, so that `b` stays as it is, and `d` comes
/// out otherwise; `c` has nothing to do with it.
fn of_four() -> House {
    let house = drafted()
        .task("a", "run = \"template\"\ninputs = [\"docs/e.md\"]")
        .task("d", "inputs = [\"docs/e.md\"]");
    house.meu(&["run", "-q"]).ok();
    house
}

/// A sealed project after `docs/e.md` changed: the part that this may reach, or the whole, as if all were old.
fn after_an_edit(house: &House, as_part: bool) -> (Option<Part>, Workspace) {
    seal_here(house);
    house.put("docs/e.md", format!("{}And one line more, of some length.\n", house.read("docs/e.md")));
    let store = Arc::new(Store::new(&house.root()).expect("a store"));
    let (part, mut workspace) = match as_part {
        true => Seal::read(&store).expect("a seal").part(&store).map(|(part, some)| (Some(part), some)),
        false => Some((None, meu::disk::load(&house.root()).expect("whole"))),
    }
    .expect("a workspace");
    workspace.listed.began.put_off(Duration::from_secs(10));
    (part, workspace)
}

/// What a run comes to after `docs/e.md` changed, of the part that it may reach or of the whole, while somebody does
/// something to the lock; and whether it was kept.
fn meddled_with(house: &House, as_part: bool, meddle: &dyn Fn()) -> (Result<Recorded, String>, bool) {
    let (part, workspace) = after_an_edit(house, as_part);
    let providers =
        Providers::new(&workspace.graph.config, workspace.redactor.clone(), workspace.store.root());
    let targets = workspace.graph.nodes().map(|(ix, _)| ix).collect();
    let options = Options { targets, jobs: 1, ..Options::default() };
    let ran = run(&workspace, &providers, &options, &|| false, &mut |event| {
        if matches!(event, Event::TaskStarted { task, .. } if task == "d") {
            meddle();
        }
    });
    let ran = ran.and_then(|ran| match ran.trouble {
        Some(trouble) => Err(trouble),
        None => Ok(ran),
    });
    let seal = || fs::read(house.root().join(".meu/seal")).expect("a seal");
    let before = seal();
    match (&ran, part) {
        (Ok(ran), Some(part)) => part.keep(&workspace, ran),
        (Ok(ran), None) => keep(&workspace, &rows(&workspace, &ran.verdicts), ran.recorded, true),
        (Err(_), _) => {}
    }
    let ran = ran.map(|ran| ran.recorded).map_err(|error| error.message);
    (ran, seal() != before)
}

#[test]
fn what_others_write_into_the_lock_during_a_run_stays_there() {
    let house = of_four();
    let lines = || -> Vec<String> { house.read("meu.lock").lines().map(str::to_owned).collect() };
    for (as_part, renames) in [(false, false), (false, true), (true, false), (true, true)] {
        let before = lines();
        // A pull brings other records of b, which stays as it was, and of c, and none of d.
        let theirs = [&before[0], &before[1], &pulled(&before[2]), &pulled(&before[3])];
        let theirs: String = theirs.iter().map(|line| format!("{line}\n")).collect();
        let (recorded, is_kept) = meddled_with(&house, as_part, &|| {
            let place = if renames { "lock.new" } else { "meu.lock" };
            house.put(place, &theirs);
            fs::rename(house.root().join(place), house.root().join("meu.lock")).expect("there");
        });
        assert_eq!((recorded, is_kept), (Ok(Recorded::BesideOthers), false), "what came was not looked at");
        let after = lines();
        assert_eq!((after.len(), &after[2], &after[3]), (5, &pulled(&before[2]), &pulled(&before[3])));
        assert_ne!(after[4], before[4], "a run made d");
        house.meu(&["run", "-q"]).ok();
    }
}

#[test]
fn records_of_one_task_that_both_made_stand_side_by_side() {
    let house = of_four();
    for as_part in [false, true] {
        let before = house.read("meu.lock");
        let d = before.lines().last().expect("d").to_owned();
        let theirs = before.replace(&d, &pulled(&d));
        let (recorded, _) = meddled_with(&house, as_part, &|| house.put("meu.lock", &theirs));
        assert_eq!(recorded, Ok(Recorded::BesideOthers));
        let after = house.read("meu.lock");
        assert_eq!(after.lines().filter(|line| line.starts_with("{\"task\":\"d\"")).count(), 2);
        assert!(after.contains(&pulled(&d)) && !after.contains(&d));
        // What is on disk is this run's.
        house.meu(&["status", "--check"]).ok();
        house.meu(&["run", "-q"]).ok();
        house.run_asks(&[]);
    }
}

#[test]
fn a_lock_that_goes_during_a_run_is_written_again() {
    let house = of_four();
    for as_part in [false, true] {
        let remove = || fs::remove_file(house.root().join("meu.lock")).expect("removed");
        let (recorded, is_kept) = meddled_with(&house, as_part, &remove);
        assert!(matches!(recorded, Ok(Recorded::Text { .. })) && is_kept, "{recorded:?}");
        assert_eq!(house.read("meu.lock").lines().count(), 5);
        house.meu(&["status", "--check"]).ok();
    }
}

#[test]
fn a_settled_lock_is_known_by_its_stat_however_young() {
    let house = of_four();
    let lock = house.root().join("meu.lock");
    for as_part in [false, true] {
        let (part, workspace) = after_an_edit(&house, as_part);
        let mut ran = run_and(&workspace, &|| false, &mut |_| ());
        let Recorded::Text { digest, stat } = ran.recorded else { panic!("{:?}", ran.recorded) };
        assert_eq!(digest, Digest::of(house.read("meu.lock")));
        assert!(stat.is_none_or(|stat| stat.is_settled() && Stat::at(&lock) == Some(stat)));
        // As if it had taken long to write: its contents are older than its name.
        let file = fs::File::options().append(true).open(&lock).expect("a lock");
        let long_ago = |nanoseconds| SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, nanoseconds);
        file.set_modified(long_ago(5_000_000)).expect("older");
        assert!(!Stat::at(&lock).expect("a lock").is_settled(), "a time that may be rounded");
        file.set_modified(long_ago(5_000_001)).expect("older");
        let stat = Stat::at(&lock).filter(Stat::is_settled);
        assert!(stat.is_some());
        // Whether it is read shows by a digest that it does not have.
        ran.recorded = Recorded::Text { digest: Digest::of("another text"), stat };
        match part {
            Some(part) => part.keep(&workspace, &ran),
            None => keep(&workspace, &rows(&workspace, &ran.verdicts), ran.recorded, true),
        }
        assert!(stands(&house.root()), "it was read");
        let text = house.read("meu.lock");
        std::io::Write::write_all(&mut &file, b"\n").expect("appended");
        assert!(!stands(&house.root()), "it was not read");
        file.set_len(text.len() as u64).expect("as it was");
        assert!(!stands(&house.root()), "another digest");
        assert!(Stat::at(&lock) != stat && house.read("meu.lock") == text);
        house.meu(&["status", "--check"]).ok();
    }
}

#[test]
fn a_lock_that_becomes_another_kind_of_file_during_a_run_loses_nothing() {
    let house = of_four();
    for as_part in [false, true] {
        let before = house.read("meu.lock");
        for (text, why) in [
            ("{\"meu_lock\":2}\n", "it was changed meanwhile, and has the format 2 of a newer meu"),
            ("\u{1}", ""),
            ("<<<<<<< ours\n", ""),
            ("", ""),
        ] {
            let (recorded, is_kept) = meddled_with(&house, as_part, &|| house.put("meu.lock", text));
            assert!(!is_kept);
            match why {
                "" => assert_eq!(recorded, Ok(Recorded::BesideOthers)),
                why => assert!(recorded.clone().is_err_and(|said| said.contains(why)), "{recorded:?}"),
            }
            // The journal, or the lock, has what the run made: with the others' records back, all is as it should be.
            let now = house.read("meu.lock");
            let ours: Vec<&str> = now.lines().filter(|line| line.contains("\"task\"")).collect();
            let others = before.lines().filter(|line| !ours.iter().any(|own| own[..12] == line[..12]));
            let all: Vec<&str> = others.chain(ours.iter().copied()).collect();
            house.put("meu.lock", all.iter().map(|line| format!("{line}\n")).collect::<String>());
            house.meu(&["run", "-q"]).ok();
            house.run_asks(&[]);
            house.put("meu.lock", house.read("meu.lock"));
        }
    }
}

/// A record with another request.
fn pulled(line: &str) -> String {
    let (front, rest) = line.split_once("\"request\":\"").expect("a record");
    format!("{front}\"request\":\"{}{}", "0".repeat(8), &rest[8..])
}

/// Copies a folder with all that is in it.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (path, beside) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("a kind") {
            kind if kind.is_dir() => copy_all(&path, &beside),
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(fs::read_link(&path).expect("a link"), beside).expect("a link");
            }
            _ => drop(fs::copy(path, beside).expect("copied")),
        }
    }
}

/// With the seal and without it a command says the same.
fn same_said(house: &House, arguments: &[&str]) {
    let with = house.meu(arguments);
    let seal = house.root().join(".meu/seal");
    let kept = fs::read(&seal);
    drop(fs::remove_file(&seal));
    let without = house.meu(arguments);
    if let Ok(kept) = kept {
        fs::write(seal, kept).expect("a seal");
    }
    assert_eq!(timeless(with), timeless(without), "{arguments:?}");
}

/// What was said, without names of runs and how long things took.
fn timeless(said: Said) -> (i32, Vec<String>, String) {
    let lines = said.out.lines();
    let events = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap_or(line.into()));
    let events = events.map(|mut event| {
        for (key, nothing) in [("run", "".into()), ("ms", 0.into())] {
            if event.get(key).is_some() {
                event[key] = nothing;
            }
        }
        event.to_string()
    });
    (said.code, events.collect(), said.err)
}

/// A project with a seal and its twin without one say and do the same, whatever is edited, and the same tasks are
/// asked for; with the seal the tasks beside the edits are not even read.
#[test]
fn an_edit_is_looked_at_in_its_part_of_the_project() {
    let twin = || {
        let house = House::new()
            .file("docs/a.md", "# A\n\nText.\n")
            .file("docs/b.md", "# B\n\nText.\n")
            .task("a", "inputs = [\"docs/a.md\"]")
            .task("a-much-longer-name-elsewhere", "inputs = [\"docs/b.md\"]")
            .task("p/b", "requires = [\"a\"]")
            .task("p/c", "refers = [\"b\"]\n[context]\nsiblings = 4")
            .task("p/d", "requires = [\"c\", \"a-much-longer-name-elsewhere\"]")
            .task("p/e", "")
            .task("q/f", "run = \"manual\"")
            .task("q/g", "inputs = [\"docs/b.md\"]")
            .file("out/q/f.md", "By hand.\n");
        house.meu(&["run", "-j1"]).ok();
        house.asked();
        house
    };
    let (with, without) = (twin(), twin());
    let both = |arguments: &[&str]| {
        drop(fs::remove_file(without.root().join(".meu/seal")));
        let (ours, theirs) = (with.meu(arguments), without.meu(arguments));
        assert_eq!(timeless(ours.clone()), timeless(theirs), "{arguments:?}");
        let asked = with.asked();
        assert_eq!(asked, without.asked(), "{arguments:?}");
        (ours.out, asked)
    };
    let put = |name: &str, text: &str| [&with, &without].map(|house| house.put(name, text));
    seal_as_old(&with);
    // What the next command loads: a part, as its seal says, which only who made it believes.
    let loaded = || {
        let path = with.root().join(".meu/seal");
        let seal = fs::read(&path).expect("a seal");
        as_by(&std::env::current_exe().expect("this program"), &path);
        let store = Arc::new(Store::new(&with.root()).expect("a store"));
        let (_, part) = Seal::read(&store).expect("a seal").part(&store).expect("a part");
        fs::write(path, seal).expect("written");
        part.graph.nodes().map(|(_, node)| node.id().to_owned()).collect::<Vec<_>>()
    };

    let seal = || fs::metadata(with.root().join(".meu/seal")).expect("a seal").ino();
    let first = seal();
    put("docs/a.md", "# A\n\nOther text.\n");
    assert_eq!(loaded(), ["a", "a-much-longer-name-elsewhere", "p/b", "p/c", "p/d", "p/e"]);
    for arguments in [&["status"][..], &["status", "-v"], &["status", "--json"], &["status", "--check"]] {
        both(arguments);
    }
    let (out, asked) = both(&["run", "-j1"]);
    assert_eq!(asked, ["a"], "the answer is as it was");
    assert!(out.contains("1 built, 7 fresh;"), "{out}");
    assert_eq!(seal(), first, "what is another of the seal is written over what was");
    both(&["run"]);
    both(&["status"]);
    assert_eq!(with.files(), without.files());

    // A person's edit; the seal of the last run is the one that counts.
    put("out/p/b.md", "A person's b.\n");
    both(&["status"]);
    let (_, asked) = both(&["run", "-j1"]);
    assert_eq!(asked, ["p-c"]);
    put("docs/b.md", "# B\n\nOther text.\n");
    assert_eq!(loaded(), ["a-much-longer-name-elsewhere", "p/c", "p/d", "q/g"]);
    both(&["status", "--check"]);
    both(&["run", "-j1", "--json"]);
    both(&["run", "--json"]);

    // Edits of tasks: one that others may read the beginning of, one that concerns itself alone.
    let task = |id: &str, prompt: &str, rest: &str| {
        put(
            &format!("tasks/{id}.toml"),
            &format!("title = \"{}\"\nprompt = \"{prompt}\"\n{rest}", id.replace('/', "-")),
        )
    };
    task("p/e", "answer of p-e\\n\\nShorter.", "");
    assert_eq!(loaded(), ["p/e"]);
    let (_, asked) = both(&["run", "-j1"]);
    assert_eq!(asked, ["p-e"]);
    task("p/e", "answer of p-e!\\n\\nShorter.", "");
    assert_eq!(loaded(), ["a-much-longer-name-elsewhere", "p/b", "p/c", "p/d", "p/e"]);
    let (_, asked) = both(&["run", "-j1"]);
    assert_eq!(asked, ["p-c", "p-e"], "its card is in the context of c");
    both(&["status", "--json"]);
    // What is named otherwise is looked at as a whole.
    task("p/e", "answer of p-e!", "requires = [\"c\"]");
    both(&["status", "--json"]);
    let (_, asked) = both(&["run", "-j1"]);
    assert_eq!(asked, ["p-e"]);
    task("p/e", "answer of p-e {{ unknown }}", "requires = [\"c\"]");
    both(&["status"]);
    both(&["run"]);
    task("p/e", "answer of p-e!", "requires = [\"c\"]");
    both(&["run"]);

    // A person's own page.
    put("out/q/f.md", "By hand, and more.\n");
    for _ in 0..2 {
        both(&["status", "--json"]);
        both(&["run"]);
    }

    // What stops a run is told as ever, and mended as ever.
    for house in [&with, &without] {
        fs::remove_file(house.root().join("docs/a.md")).expect("removed");
    }
    both(&["status"]);
    both(&["run", "-j1"]);
    put("docs/a.md", "# A\n\nOnce more.\n");
    both(&["run", "-j1"]);
    both(&["run"]);
    assert_eq!(with.files(), without.files());
}

#[test]
fn a_seal_that_has_another_name_too_is_not_written_over() {
    let house =
        House::new().file("docs/a.md", "# A\n\nText.\n").task("a", "inputs = [\"docs/a.md\"]").task("b", "");
    house.meu(&["run"]).ok();
    seal_as_old(&house);
    let (seal, snapshot) = (house.root().join(".meu/seal"), house.root().join("snapshot"));
    fs::hard_link(&seal, &snapshot).expect("linked");
    let before = fs::read(&snapshot).expect("a snapshot");
    house.put("docs/a.md", "# A\n\nOther text.\n");
    house.asked();
    house.meu(&["run"]).ok();
    assert_eq!(house.asked(), ["a"]);
    assert!(fs::read(&snapshot).expect("a snapshot") == before);
    assert!(fs::read(&seal).expect("a seal") != before, "the next one has the new finding");
}

/// Seals a project as if its files were old.
fn seal_as_old(house: &House) {
    seal_here(house);
    as_by(Path::new(env!("CARGO_BIN_EXE_meu")), &house.root().join(".meu/seal"));
}

/// The same, as this program.
fn seal_here(house: &House) {
    let (mut workspace, found) = look(&house.root()).expect("whole");
    workspace.listed.began.put_off(Duration::from_secs(10));
    keep(&workspace, &found, Recorded::Nothing, true);
    assert!(standing(&workspace.store).is_some());
}

/// Puts another program into a seal in place of the one that made it.
pub(super) fn as_by(program: &Path, path: &Path) {
    let bytes = fs::read(path).expect("a seal");
    let (magic, rest) = bytes.split_at(b"meu seal 4\n".len());
    let length = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().expect("a length")) as usize;
    let (head, tree) = (length(0), length(8));
    let (sealed, tail) = rest[48..].split_at(head + tree);
    let (head, tree) = sealed.split_at(head);
    let binary = fs::metadata(program).expect("a program");
    let time = |seconds: i64, nanoseconds: i64| seconds * 1_000_000_000 + nanoseconds;
    let mut head: serde_json::Value = serde_json::from_slice(head).expect("a head");
    head["program"] = serde_json::json!({
        "size": binary.size(),
        "modified": time(binary.mtime(), binary.mtime_nsec()),
        "changed": time(binary.ctime(), binary.ctime_nsec()),
        "identity": binary.ino() ^ binary.dev().rotate_left(40),
    });
    let mut head = serde_json::to_vec(&head).expect("a head");
    head.resize(head.len().next_multiple_of(256), b' ');
    let sealed = [&head[..], tree].concat();
    let lengths = [(head.len() as u64).to_le_bytes(), (tree.len() as u64).to_le_bytes()].concat();
    let whole = [magic, &lengths, Digest::of(&sealed).as_bytes(), &sealed, tail].concat();
    fs::write(path, whole).expect("written");
}

#[test]
fn a_sealed_project_says_what_an_unsealed_one_says() {
    let house = House::new()
        .file("doc.md", "# One\n\nText.\n")
        .task("a", "inputs = [\"doc.md\"]")
        .task("b", "requires = [\"a\"]")
        .task("c", "duplicates = \"b\"");
    house.run_asks(&["a", "b"]);
    house.meu(&["run"]).ok();
    seal_as_old(&house);
    for arguments in [
        &["status"][..],
        &["status", "-v"],
        &["status", "--json"],
        &["status", "--check"],
        &["check"],
        &["check", "--json"],
        &["run"],
        &["run", "--json"],
        &["run", "-q"],
    ] {
        same_said(&house, arguments);
        seal_as_old(&house);
    }
    // Edited by hand, with the request unchanged: a run has nothing to do, and status says so.
    house.put("out/b.md", "A person's b.\n");
    same_said(&house, &["status"]);
    house.meu(&["run"]).ok();
    seal_as_old(&house);
    for arguments in [&["status"][..], &["status", "--check"], &["run"]] {
        same_said(&house, arguments);
        seal_as_old(&house);
    }
    house.put("doc.md", "# One\n\nOther text.\n");
    same_said(&house, &["status", "--check"]);
    // The same answer: b is as it was.
    house.run_asks(&["a"]);
}

#[test]
fn a_cache_that_git_begins_to_track_is_refused_though_sealed() {
    let house = House::new().task("a", "");
    house.git(&["init", "-q"]);
    house.run_asks(&["a"]);
    seal_as_old(&house);
    house.git(&["add", "tasks"]);
    house.meu(&["status", "--check"]).ok();
    house.git(&["add", "-f", ".meu/cache"]);
    let refused = house.meu(&["status"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("`.meu/` is tracked by git"), "{refused:?}");
}

#[test]
fn a_sealed_project_that_another_run_holds_is_held() {
    let house = House::new().task("a", "");
    house.run_asks(&["a"]);
    seal_as_old(&house);
    let store = Store::new(&house.root()).expect("a store");
    let hold = std::iter::repeat_with(|| meu::disk::hold(&store))
        .take(1_000_000)
        .find_map(Result::ok)
        .expect("held");
    assert_eq!(house.meu(&["run"]).code, 4);
    house.meu(&["status"]).ok();
    drop(hold);
    house.meu(&["run"]).ok();
}

/// A project with a document, sealed as if it were old, after `prepare`.
fn sealed(prepare: impl FnOnce(&House)) -> House {
    let house = House::new().file("docs/a.md", "# One\n\nText.\n").task("a", "inputs = [\"docs/a.md\"]");
    prepare(&house);
    house.meu(&["run"]).ok();
    let (mut workspace, found) = look(&house.root()).expect("whole");
    workspace.listed.began.put_off(Duration::from_secs(10));
    keep(&workspace, &found, Recorded::Nothing, true);
    house
}

fn stands(root: &Path) -> bool {
    standing(&Store::new(root).expect("a store")).is_some()
}

#[test]
fn a_copy_elsewhere_is_another_project() {
    let house = sealed(|_| ());
    assert!(stands(&house.root()));
    let copy = house.home().join("copy");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(house.root()).arg(&copy).status().expect("cp");
    assert!(copied.success() && copy.join(".meu/seal").exists());
    assert!(!stands(&copy));
}

#[test]
fn what_is_reached_through_a_link_is_looked_at() {
    let house = sealed(|house| {
        fs::rename(house.root().join("tasks"), house.root().join("real")).expect("moved");
        std::os::unix::fs::symlink("real", house.root().join("tasks")).expect("a link");
    });
    assert!(stands(&house.root()));
    house.put("real/b.toml", "title = \"b\"\nprompt = \"answer of b\"\n");
    assert!(!stands(&house.root()), "a new task behind a link");

    let house = sealed(|_| ());
    let outside = house.home().join("outside.md");
    fs::rename(house.root().join("docs/a.md"), &outside).expect("moved");
    std::os::unix::fs::symlink(&outside, house.root().join("docs/a.md")).expect("a link");
    assert!(!stands(&house.root()), "the same text, but out of bounds");
    assert_eq!(house.meu(&["status"]).code, 2);
}

#[test]
fn what_went_while_it_was_looked_at_is_not_sealed() {
    let house = House::new().file("docs/a.md", "# One\n").task("a", "inputs = [\"docs/a.md\"]");
    house.meu(&["run"]).ok();
    let (mut workspace, found) = look(&house.root()).expect("whole");
    workspace.listed.began.put_off(Duration::from_secs(10));
    house.remove("out/a.md");
    drop(fs::remove_file(house.root().join(".meu/seal")));
    keep(&workspace, &found, Recorded::Nothing, true);
    assert!(!stands(&house.root()));
}

#[test]
fn both_spellings_of_a_name_count() {
    // Decomposed on disk; composed comes later, and is what the task names.
    let house = sealed(|house| {
        house.put("docs/cafe\u{301}.md", "one\n");
        house.task_put("c", "inputs = [\"docs/caf\u{e9}.md\"]");
    });
    assert!(stands(&house.root()));
    house.put("docs/caf\u{e9}.md", "two\n");
    assert!(!stands(&house.root()));
    assert_eq!(house.state("c"), "stale");
}

#[test]
fn an_ignore_file_above_the_repository_is_not_the_projects() {
    let house = House::empty();
    house.put("p/meu.toml", house_config());
    house.put("p/tasks/a.toml", "title = \"a\"\nprompt = \"answer of a\"\ninputs = [\"docs/*.md\"]\n");
    house.put("p/docs/a.md", "a\n");
    house.put("p/docs/z.md", "z\n");
    house.git(&["init", "-q", "p"]);
    house.meu(&["-C", "p", "run"]).ok();
    house.put(".gitignore", "z.md\n");
    assert_eq!(house.meu(&["-C", "p", "status", "--check"]).code, 0, "git does not look there either");
    house.put("p/.gitignore", "z.md\n.meu/\n");
    assert_eq!(house.meu(&["-C", "p", "status", "--check"]).code, 3);
}

fn house_config() -> &'static str {
    "[context]\ntokenizer = \"chars\"\n"
}
