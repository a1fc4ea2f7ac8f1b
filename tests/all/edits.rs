//! A person's words: kept, merged, never replaced; approvals bound to content.

use crate::house::House;

const BASE: &str = "# A\n\nFirst.\n\nSecond.\n\nThird.\n";

fn built() -> House {
    let house = House::new()
        .file("x.md", "one\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n");
    house.answers("a", BASE);
    house.run_asks(&["a", "b"]);
    house
}

#[test]
fn an_edit_is_kept_and_read_by_those_below() {
    let house = built();
    house.put("out/a.md", BASE.replace("First.", "First, by hand."));
    assert_eq!((house.state("a"), house.state("b")), ("edited".into(), "stale".into()));
    house.run_asks(&["b"]);
    assert!(house.read("out/a.md").contains("by hand"));
    house.run_asks(&[]);
    let why = house.meu(&["why", "b", "--json"]).json();
    assert_eq!(why["edited_items"], serde_json::json!(["task:a"]));
    assert_eq!(house.meu(&["status", "--check"]).code, 0);
}

#[test]
fn an_edit_and_a_new_answer_are_merged() {
    let house = built();
    house.put("out/a.md", BASE.replace("First.", "First, by hand."));
    house.put("x.md", "two\n");
    house.answers("a", &BASE.replace("Third.", "Third, anew."));
    assert_eq!(house.meu(&["status", "--check"]).code, 3);
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond.\n\nThird, anew.\n");
    assert_eq!(house.state("a"), "edited");
    house.run_asks(&[]);
    // The next merge knows the person's words from the model's.
    house.put("x.md", "three\n");
    house.answers("a", &BASE.replace("Second.", "Second, anew."));
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond, anew.\n\nThird.\n");
}

#[test]
fn a_collision_leaves_the_file_and_asks_once() {
    let house = built();
    let edited = BASE.replace("First.", "First, by hand.");
    house.put("out/a.md", &edited);
    house.put("x.md", "two\n");
    let answer = BASE.replace("First.", "First, anew.");
    house.answers("a", &answer);
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("failed a"), "{}", said.out);
    assert!(said.out.contains(
        "your edits and the new answer collide; `out/a.md` is as it was, the new answer is in `out/a.new.md`"
    ));
    assert_eq!((house.read("out/a.md"), house.read("out/a.new.md")), (edited.clone(), answer.clone()));
    assert_eq!((house.state("a"), house.state("b")), ("failed".into(), "blocked".into()));
    assert_eq!(house.asked(), ["a"]);
    // Not asked again, and what a person writes into the new answer stays.
    house.put("out/a.new.md", "my notes on it\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    assert_eq!(house.asked(), [""; 0]);
    assert_eq!(house.read("out/a.new.md"), "my notes on it\n");
    assert_eq!(house.read("out/a.new.2.md"), answer);
    // Adopted: what is on disk answers today's request.
    house.put("out/a.md", BASE.replace("First.", "First, both."));
    house.meu(&["adopt", "a"]).ok();
    assert_eq!(house.state("a"), "fresh");
    house.run_asks(&["b"]);
    house.run_asks(&[]);
}

#[test]
fn a_file_that_no_record_knows_is_a_persons() {
    let house = House::new().task("a", "").file("out/a.md", "mine\n");
    assert_eq!(house.state("a"), "edited");
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.read("out/a.md").as_str()), (1, "mine\n"), "{}", said.out);
    assert_eq!(house.read("out/a.new.md"), "answer of a\n");
    assert!(said.out.contains("the text there is not one that meu wrote"), "{}", said.out);
    house.meu(&["adopt", "a"]).ok();
    house.run_asks(&["a"][1..]);
    assert_eq!(house.state("a"), "fresh");
}

#[test]
fn adopted_words_survive_the_next_answer_and_a_deletion() {
    let house = built();
    let adopted = BASE.replace("First.", "First, by hand.");
    house.put("out/a.md", &adopted);
    house.meu(&["adopt", "a"]).ok();
    house.run_asks(&["b"]);
    assert_eq!(house.state("a"), "fresh");
    house.remove("out/a.md");
    house.run_asks(&[]);
    assert_eq!(house.read("out/a.md"), adopted);
    // Gone and stale at once: still merged.
    house.remove("out/a.md");
    house.put("x.md", "two\n");
    house.answers("a", &BASE.replace("Third.", "Third, anew."));
    house.run_asks(&["a", "b"]);
    assert_eq!(house.read("out/a.md"), "# A\n\nFirst, by hand.\n\nSecond.\n\nThird, anew.\n");
}

#[test]
fn restore_goes_back_and_keeps_the_edit() {
    let house = built();
    house.put("out/a.md", "all mine\n");
    let said = house.meu(&["restore", "a"]).ok();
    assert_eq!(house.read("out/a.md"), BASE);
    let digest = said
        .out
        .split("kept as ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("a digest")
        .to_owned();
    assert_eq!(house.meu(&["cat", &digest]).ok().out, "all mine\n");
    assert_eq!(house.meu(&["cat", &digest[..12]]).ok().out, "all mine\n");
    for none in ["", "zzzz", &digest[..3]] {
        assert_eq!(house.meu(&["cat", none]).code, 1, "{none}");
    }
    house.run_asks(&[]);
}

#[test]
fn an_edit_made_while_the_model_answers_is_kept() {
    let house = built();
    house.put("x.md", "two\n");
    house.answers("a", "# A\n\nWholly new.\n");
    house.hook("printf '# A\\n\\nTyped meanwhile.\\n' > out/a.md\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert_eq!(house.read("out/a.md"), "# A\n\nTyped meanwhile.\n");
    assert_eq!(house.read("out/a.new.md"), "# A\n\nWholly new.\n");
}

#[test]
fn approval_is_bound_to_the_text() {
    let house = House::new().task("a", "approval = true\n").task("b", "requires = [\"a\"]\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!((said.code, house.asked()), (1, vec!["a".to_owned()]), "{}", said.out);
    assert_eq!((house.state("a"), house.state("b")), ("awaiting".into(), "blocked".into()));
    let status = house.meu(&["status"]).ok().out;
    assert_eq!(
        status,
        " awaiting a  approval; b waits for it\n  blocked b  by a\n2 tasks: 1 blocked, 1 awaiting\n"
    );
    house.meu(&["approve", "a"]).ok();
    house.run_asks(&["b"]);
    house.put("out/a.md", "by hand\n");
    assert_eq!(house.state("a"), "awaiting");
    house.meu(&["approve", "a"]).ok();
    assert_eq!(house.state("a"), "edited");
    house.run_asks(&["b"]);
}

#[test]
fn a_manual_output_is_a_persons_to_write() {
    let house = House::new()
        .file("x.md", "one\n")
        .task("m", "run = \"manual\"\ninputs = [\"x.md\"]\n")
        .task("b", "requires = [\"m\"]\n");
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.asked().len()), (1, 0));
    assert!(said.out.contains("blocked m  a person writes out/m.md\n"), "{}", said.out);
    house.put("out/m.md", "mine\n");
    house.run_asks(&["b"]);
    house.run_asks(&[]);
    // Its context moved: for the person to see, blocking nobody.
    house.put("x.md", "two\n");
    assert_eq!(house.state("m"), "stale");
    let said = house.run_asks(&[]);
    assert!(
        said.err.contains("m: what out/m.md was written for has changed (doc:x.md changed)"),
        "{}",
        said.err
    );
    house.put("out/m.md", "mine, newer\n");
    assert_eq!(house.state("m"), "fresh");
    house.run_asks(&["b"]);
}

#[test]
fn merged_branches_ask_only_what_is_new() {
    let house = House::new().task("a", "").task("b", "").task("sum", "requires = [\"a\", \"b\"]\n");
    house.put(".gitattributes", "meu.lock merge=union\n");
    house.put(".gitignore", ".meu/\n");
    house.run_asks(&["a", "b", "sum"]);
    house.git(&["init", "-q", "-b", "main"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "base"]);
    let change = |task: &str| {
        house.put(
            &format!("tasks/{task}.toml"),
            format!("title = \"{task}\"\nprompt = \"new answer of {task}\"\n"),
        );
        house.run_asks(&[task, "sum"]);
        house.git(&["add", "-A"]);
        house.git(&["commit", "-qm", task]);
    };
    house.git(&["checkout", "-qb", "left"]);
    change("a");
    house.git(&["checkout", "-q", "main"]);
    house.git(&["checkout", "-qb", "right"]);
    change("b");
    house.git(&["merge", "-q", "--no-edit", "left"]);
    // The lock has two lines for sum; both inputs are new together, so sum alone runs.
    house.run_asks(&["sum"]);
    house.run_asks(&[]);
}

#[test]
fn a_tracked_meu_folder_is_refused() {
    let house = House::new().task("a", "");
    house.run_asks(&["a"]);
    house.git(&["init", "-q"]);
    house.git(&["add", "-f", ".meu/state"]);
    let said = house.meu(&["run"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: `.meu/` is tracked by git, and it must never come with a repository\n  = help: `git rm -r --cached .meu`, and add `.meu/` to .gitignore\nerror: 1 problem in this project\n"
        )
    );
}

#[test]
fn a_meu_folder_of_which_git_says_nothing_is_refused() {
    let mut house = House::new().task("a", "");
    house.run_asks(&["a"]);
    house.git(&["init", "-q"]);
    house.git(&["add", "-f", ".meu/state"]);
    // There is no git to ask, or one that does not trust the folder's owner.
    house.env("PATH", "/nowhere");
    let said = house.meu(&["check"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (
            2,
            "error: git does not say whether it tracks `.meu/`, which must never come with a repository\n  = help: see what `git ls-files .meu` says: git may not be installed, or not trust the folder's owner (`git config --global --add safe.directory FOLDER`)\nerror: 1 problem in this project\n"
        )
    );
    // Where its index names no such thing, nobody has to be asked.
    house.git(&["rm", "-q", "--cached", ".meu/state"]);
    house.meu(&["check"]).ok();
}

#[test]
fn a_meu_folder_that_is_a_tracked_link_is_refused() {
    let house = House::new().task("a", "").file("answers-of-others/state", "");
    std::os::unix::fs::symlink("answers-of-others", house.root().join(".meu")).expect("a link");
    house.git(&["init", "-q"]);
    house.git(&["add", ".meu"]);
    let said = house.meu(&["check"]);
    assert!(said.err.starts_with("error: `.meu/` is tracked by git"), "{said:?}");
    assert_eq!(said.code, 2);
}

#[test]
fn git_is_asked_for_the_project_s_repository_and_starts_nothing_of_its_files() {
    let mut house = House::new().task("a", "").task("b", "");
    house.git(&["init", "-q"]);
    house.git(&["add", "tasks", "meu.toml"]);
    house.git(&["commit", "-qm", "x"]);
    house.task_put("b", "vars = { x = \"1\" }\n");
    // Of a hook that another repository's git calls.
    house.git(&["init", "-q", "../other"]);
    let other = house.home().join("other/.git").to_string_lossy().into_owned();
    house.env("GIT_DIR", &other).env("GIT_WORK_TREE", "/").env("GIT_INDEX_FILE", "/nowhere");
    let listed = house.meu(&["status", "changed:HEAD"]).ok();
    assert_eq!(listed.out, "  missing b  never built\n1 task: 1 missing\n");
    // A project that looks like a repository itself, with a program to start.
    let house = House::new().task("a", "");
    let program = house.home().join("monitor");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}/started\n", house.home().display()))
        .expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a program");
    house.git(&["init", "-q", "--bare", "."]);
    let here = |arguments: &[&str]| house.git(&[&["--git-dir=.", "--work-tree=."], arguments].concat());
    here(&["add", "tasks"]);
    here(&["commit", "-qm", "x"]);
    house.git(&["config", "-f", "config", "core.bare", "false"]);
    house.git(&["config", "-f", "config", "core.worktree", "."]);
    house.git(&["config", "-f", "config", "core.fsmonitor", &program.to_string_lossy()]);
    // As it would be for who asks git with nothing said.
    house.git(&["diff", "HEAD", "--"]);
    std::fs::remove_file(house.home().join("started")).expect("git starts the program");
    house.meu(&["status", "changed:HEAD"]);
    house.meu(&["run"]).ok();
    assert!(!house.home().join("started").exists());
    // Nor is its difftool the person's.
    house.git(&["config", "-f", "config", "core.fsmonitor", "false"]);
    house.git(&["config", "-f", "config", "diff.tool", "x"]);
    house.git(&["config", "-f", "config", "difftool.x.cmd", &program.to_string_lossy()]);
    let own = "[diff]\ntool = own\n[difftool \"own\"]\ncmd = touch ../asked\n";
    std::fs::write(house.home().join(".gitconfig"), own).expect("written");
    house.put("out/a.md", "edited\n");
    house.meu(&["diff", "--tool", "a"]).ok();
    assert!(house.home().join("asked").exists() && !house.home().join("started").exists());
}

#[test]
fn outputs_never_go_through_symlinks_nor_moves_out_of_the_lock_s_mouth() {
    // A symlink inside the project could lead into git's own files.
    let house = House::new().task("a", "run = \"template\"\noutput = \"link/commondir\"\n");
    house.git(&["init", "-q"]);
    std::os::unix::fs::symlink(".git", house.root().join("link")).expect("a link");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(!house.exists(".git/commondir"));
    // Its name may be spelled with its accent apart.
    let house = House::new().task("a", "run = \"template\"\noutput = \"out/\u{e9}/config\"\n");
    house.git(&["init", "-q"]);
    house.put("out/x.md", "");
    std::os::unix::fs::symlink("../.git", house.root().join("out/e\u{301}")).expect("a link");
    let config = house.read(".git/config");
    assert_eq!(house.meu(&["run"]).code, 2);
    assert_eq!(house.read(".git/config"), config);
    // A lock that names a file of git's as the old place of an output.
    let house = House::new().task("a", "run = \"template\"\n");
    house.git(&["init", "-q"]);
    house.run_asks(&[]);
    let head = house.read(".git/HEAD");
    house.put("meu.lock", house.read("meu.lock").replace("out/a.md", ".git/HEAD"));
    house.remove("out/a.md");
    house.run_asks(&[]);
    assert_eq!(house.read(".git/HEAD"), head);
}

#[test]
fn a_document_at_an_old_output_s_place_stays() {
    let house = House::new().task("a", "output = \"docs/a.md\"\nrun = \"template\"\n");
    house.run_asks(&[]);
    let house = house.task("a", "run = \"template\"\n").task("b", "inputs = [\"docs/a.md\"]\n");
    house.run_asks(&["b"]);
    assert!(house.exists("docs/a.md") && house.exists("out/a.md"));
    house.run_asks(&[]);
}

#[test]
fn a_moved_output_takes_a_persons_words_along() {
    let house = built();
    house.put("out/a.md", BASE.replace("First.", "First, by hand."));
    house.run_asks(&["b"]);
    let house = house.task("a", "inputs = [\"x.md\"]\noutput = \"docs/a.md\"\n");
    house.run_asks(&[]);
    assert!(house.read("docs/a.md").contains("by hand") && !house.exists("out/a.md"));
    assert_eq!(house.state("a"), "edited");
}

#[test]
fn exchanged_outputs_are_put_right() {
    let house = House::new().task("a", "").task("b", "");
    house.run_asks(&["a", "b"]);
    let house = house.task("a", "output = \"out/b.md\"\n").task("b", "output = \"out/a.md\"\n");
    house.run_asks(&[]);
    assert_eq!(
        (house.read("out/b.md").as_str(), house.read("out/a.md").as_str()),
        ("answer of a\n", "answer of b\n")
    );
    assert_eq!(house.meu(&["status", "--check"]).code, 0);
    house.run_asks(&[]);
}

#[test]
fn what_another_root_left_is_no_persons_text() {
    let house = House::new()
        .file("tasks/r1.toml", "title = \"r1\"\nroot = true\nprompt = \"answer of r1\"\n")
        .file("tasks/r2.toml", "title = \"r2\"\nprompt = \"answer of r2\"\n");
    house.run_asks(&["r1", "r2"]);
    house.put("tasks/r1.toml", "title = \"r1\"\nprompt = \"answer of r1\"\n");
    house.put("tasks/r2.toml", "title = \"r2\"\nroot = true\nprompt = \"answer of r2\"\n");
    house.meu(&["run", "-j1"]).ok();
    assert!(house.read("INDEX.md").starts_with("answer of r2\n"));
    assert!(!house.exists("INDEX.new.md"));
    assert_eq!(house.read("out/r1.md"), "answer of r1\n");
    house.asked();
    house.run_asks(&[]);
}

#[test]
fn a_program_below_needs_its_own_yes() {
    let mut house = House::new()
        .task("a", "run = \"template\"\n")
        .task("b", "run = [\"touch\", \"ran\"]\nrequires = [\"a\"]\n");
    house.without_env("MEU_TRUST");
    // a cannot be written, so b does not run; the yes is still wanted when it does.
    house.put("out/a.md/x", "");
    assert_eq!(house.meu(&["run"]).code, 1);
    house.remove("out");
    assert_eq!(house.meu(&["run"]).code, 2);
    assert!(!house.exists("ran"));
}

#[test]
fn a_mended_task_is_not_failed_any_more() {
    let house = House::new()
        .task("a", "")
        .task("m", "run = \"manual\"\nrequires = [\"a#Nope\"]\n")
        .file("out/m.md", "mine\n");
    assert_eq!(house.meu(&["run", "-k"]).code, 1);
    assert_eq!(house.state("m"), "failed");
    let house = house.task("m", "run = \"manual\"\nrequires = [\"a\"]\n");
    house.run_asks(&["a"][1..]);
    assert_eq!(house.state("m"), "fresh");
    // --frozen turns a fresh task away without calling it failed.
    assert_eq!(house.meu(&["run", "--frozen", "--force", "a"]).code, 1);
    assert_eq!((house.state("a"), house.state("m")), ("fresh".into(), "fresh".into()));
}

#[test]
fn adoptions_outlive_force_and_conflicts() {
    let house = built();
    let adopted = BASE.replace("First.", "First, by hand.");
    house.put("out/a.md", &adopted);
    house.meu(&["adopt", "a"]).ok();
    house.run_asks(&["b"]);
    house.meu(&["run", "-j1", "--force", "a"]).ok();
    assert_eq!((house.state("a"), house.read("out/a.md")), ("fresh".into(), adopted.clone()));
    // Gone and in conflict: the words come back before anything else.
    house.remove("out/a.md");
    house.put("x.md", "two\n");
    house.answers("a", &BASE.replace("First.", "First, anew."));
    assert_eq!(house.meu(&["run", "-j1"]).code, 1);
    assert_eq!(house.read("out/a.md"), adopted);
}

#[test]
fn a_resolved_conflict_gives_the_next_merge_its_base() {
    let prompt = |second: &str, fifth: &str| {
        format!("run = \"template\"\nprompt = \"\"\"\none\n\n{second}\n\nthree\n\nfour\n\n{fifth}\n\"\"\"\n")
    };
    let house = House::new().file("tasks/t.toml", prompt("two", "five"));
    house.run_asks(&[]);
    house.put("out/t.md", house.read("out/t.md").replace("two", "two, mine"));
    house.put("tasks/t.toml", prompt("TWO", "five"));
    assert_eq!(house.meu(&["run"]).code, 1);
    house.put("out/t.md", house.read("out/t.md").replace("two, mine", "TWO, mine"));
    house.meu(&["adopt", "--discard", "t"]).ok();
    house.put("tasks/t.toml", prompt("TWO", "FIVE"));
    house.run_asks(&[]);
    assert_eq!(house.read("out/t.md"), "one\n\nTWO, mine\n\nthree\n\nfour\n\nFIVE\n");
}

#[test]
fn a_duplicate_is_neither_adopted_nor_restored() {
    let house = House::new().task("a", "").task("d", "");
    house.run_asks(&["a", "d"]);
    let house = house.file("tasks/d.toml", "duplicates = \"a\"\n");
    house.run_asks(&[]);
    assert_eq!(house.meu(&["restore", "d"]).code, 1);
    assert_eq!(house.meu(&["adopt", "d"]).code, 1);
    assert_eq!(house.read("out/a.md"), "answer of a\n");
}

#[test]
fn an_edit_after_a_crash_is_merged_with_what_was_written() {
    let house = House::new().task("a", "");
    house.answers("a", "one\n\ntwo\n\nthree\n");
    house.run_asks(&["a"]);
    house.put("tasks/a.toml", "title = \"a\"\nprompt = \"other answer of a\"\n");
    house.answers("a", "one\n\nTWO\n\nthree\n");
    // Killed at the first point after the output has its new text.
    let mut house = house;
    for number in 1..30 {
        house.env("MEU_FAIL", &format!("kill:{number}"));
        house.meu(&["run", "-j1"]);
        if house.read("out/a.md").contains("TWO") {
            break;
        }
    }
    house.without_env("MEU_FAIL");
    house.put("out/a.md", "one\n\nTWO, mine\n\nthree\n");
    house.asked();
    house.run_asks(&[]);
    assert_eq!(house.read("out/a.md"), "one\n\nTWO, mine\n\nthree\n");
    assert_eq!(house.state("a"), "edited");
}

#[test]
fn a_text_that_cannot_be_kept_is_not_replaced() {
    let house = built();
    house.remove(".meu/cache");
    house.put(".meu/cache", "a file where a folder should be");
    house.put("out/a.md", "all mine\n");
    house.git(&["init", "-q"]);
    let said = house.meu(&["restore", "a"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert_eq!(house.read("out/a.md"), "all mine\n");
}

#[test]
fn of_two_branches_that_both_add_and_rebuild_the_next_run_makes_the_contents_whole() {
    let house = House::new()
        .file("tasks/root.toml", "title = \"root\"\nroot = true\nprompt = \"answer of root\"\n")
        .task("a", "")
        .task("b", "")
        .task("sum", "requires = [\"a\", \"b\", \"new/*\"]\n");
    house.put(".gitattributes", "meu.lock merge=union\n");
    house.put(".gitignore", ".meu/\n");
    house.run_asks(&["root", "a", "b", "sum"]);
    house.git(&["init", "-q", "-b", "main"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "base"]);
    let branch = |name: &str, task: &str| {
        house.git(&["checkout", "-q", "main"]);
        house.git(&["checkout", "-qb", name]);
        house.put(
            &format!("tasks/{task}.toml"),
            format!("title = \"{task}\"\nprompt = \"{name} answer of {task}\"\n"),
        );
        house.put(
            &format!("tasks/new/{name}.toml"),
            format!("title = \"{name}\"\nprompt = \"answer of {name}\"\n"),
        );
        house.run_asks(&[task, name, "sum"]);
        house.git(&["add", "-A"]);
        house.git(&["commit", "-qm", name]);
    };
    branch("left", "a");
    branch("right", "b");
    // Both lists of contents have a new line at the same place. That of prose would be a person's to mend.
    let merged = std::process::Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "merge", "-q", "--no-edit", "left"])
        .current_dir(house.root())
        .output()
        .expect("git starts");
    assert_eq!(merged.status.code(), Some(1), "{merged:?}");
    assert_eq!(house.git(&["diff", "--name-only", "--diff-filter=U"]), "INDEX.md\n");
    assert!(house.read("INDEX.md").contains("<<<<<<<"));
    // What both branches rebuilt has one output on disk and two lines in the lock; only that is new.
    house.run_asks(&["sum"]);
    house.run_asks(&[]);
    let index = house.read("INDEX.md");
    assert_eq!(index.matches("<!-- meu:contents -->").count(), 1);
    assert!(
        index.contains("- [left](out/new/left.md)\n") && index.contains("- [right](out/new/right.md)\n"),
        "{index}"
    );
    assert!(index.starts_with("answer of root\n") && !index.contains("<<<<<<<"));
}

#[test]
fn an_adopted_text_that_meu_never_wrote_is_not_replaced() {
    let house =
        House::new().file("x.md", "one\n").task("a", "inputs = [\"x.md\"]\n").file("out/a.md", "mine\n");
    house.meu(&["adopt", "a"]).ok();
    assert_eq!(house.state("a"), "fresh");
    house.run_asks(&[]);
    house.put("x.md", "two\n");
    assert_eq!(house.meu(&["run"]).code, 1);
    assert_eq!(
        (house.read("out/a.md").as_str(), house.read("out/a.new.md").as_str()),
        ("mine\n", "answer of a\n")
    );
}

#[test]
fn an_edit_is_never_taken_for_another_tasks() {
    let house = House::new().task("a", "").task("b", "");
    house.run_asks(&["a", "b"]);
    house.put("out/a.md", "answer of a\nby hand\n");
    let house = house.task("a", "output = \"docs/a.md\"\n").task("b", "output = \"out/a.md\"\n");
    let said = house.meu(&["run", "-k"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out.contains("`out/a.md` holds what a person wrote for `a`, whose output is `docs/a.md` now"),
        "{}",
        said.out
    );
    assert_eq!(house.read("out/a.md"), "answer of a\nby hand\n");
    std::fs::create_dir_all(house.root().join("docs")).expect("a folder");
    std::fs::rename(house.root().join("out/a.md"), house.root().join("docs/a.md")).expect("moved");
    house.asked();
    house.run_asks(&[]);
    assert_eq!(house.read("docs/a.md"), "answer of a\nby hand\n");
    assert_eq!(house.read("out/a.md"), "answer of b\n");
}

#[test]
fn a_manual_text_follows_its_place() {
    let house = House::new().task("m", "run = \"manual\"\n").file("out/m.md", "mine\n");
    house.run_asks(&[]);
    let house = house.task("m", "run = \"manual\"\noutput = \"docs/m.md\"\n");
    let status = house.meu(&["status"]).ok().out;
    assert!(status.contains("docs/m.md is its place now") && !status.contains("is gone"), "{status}");
    house.run_asks(&[]);
    assert_eq!(house.read("docs/m.md"), "mine\n");
    assert!(!house.exists("out/m.md"));
}

#[test]
fn what_cannot_be_read_is_not_replaced() {
    let house = built();
    house.put("out/a.md", b"my words caf\xe9\n");
    let said = house.meu(&["restore", "a"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.err.starts_with("error: `out/a.md` cannot be read, so it is not replaced: "),
        "{}",
        said.err
    );
    assert_eq!(std::fs::read(house.root().join("out/a.md")).expect("bytes"), b"my words caf\xe9\n");
}

#[test]
fn a_moved_output_does_not_hide_that_its_task_awaits_or_is_blocked() {
    let house = House::new().task("a", "approval = true\n").task("b", "requires = [\"a\"]\n");
    house.meu(&["run", "-j1"]);
    house.meu(&["approve", "a"]).ok();
    house.asked();
    house.run_asks(&["b"]);
    house.put("out/a.md", "by hand\n");
    let house = house.task("b", "requires = [\"a\"]\noutput = \"docs/b.md\"\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("blocked b  it requires a\n"), "{}", said.out);
    assert_eq!(house.read("docs/b.md"), "answer of b\n");
}

#[test]
fn a_file_that_is_no_text_at_an_output_s_new_place_stays() {
    let house = House::new().task("a", "");
    house.run_asks(&["a"]);
    house.put("docs/a.md", b"\xff\xfe\x00binary");
    let house = house.task("a", "output = \"docs/a.md\"\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert_eq!(std::fs::read(house.root().join("docs/a.md")).expect("bytes"), b"\xff\xfe\x00binary");
    assert_eq!(house.read("out/a.md"), "answer of a\n");
}

#[test]
fn what_a_person_writes_while_a_run_goes_on_stays() {
    let house = House::new()
        .file("x.md", "one\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n");
    house.run_asks(&["a", "b"]);
    // The output of `b` is gone when the run looks, and there again when it would be brought back.
    house.remove("out/b.md");
    house.put("x.md", "two\n");
    house.hook("printf 'mine\\n' > out/b.md\n");
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.asked()), (1, vec!["a".to_owned()]), "{}{}", said.out, said.err);
    assert!(said.out.contains("somebody changed it just now (run again)"), "{}", said.out);
    assert_eq!(house.read("out/b.md"), "mine\n");
    house.hook("");
    house.run_asks(&[]);
    assert_eq!((house.read("out/b.md").as_str(), house.state("b").as_str()), ("mine\n", "edited"));
}

#[test]
fn a_text_of_a_persons_that_is_stale_is_not_told_to_be_fresh() {
    let house = House::new()
        .file("x.md", "one\n")
        .task("m", "run = \"manual\"\ninputs = [\"x.md\"]\n")
        .task("a", "")
        .file("out/m.md", "mine\n");
    house.run_asks(&["a"]);
    house.put("x.md", "two\n");
    // The second time all is as it was.
    for _ in 0..2 {
        assert_eq!(house.meu(&["run"]).ok().out, "nothing to do: 1 task fresh, 1 stale\n");
        assert_eq!(house.meu(&["status", "--check"]).code, 3);
    }
    house.meu(&["adopt", "m"]).ok();
    assert_eq!(house.meu(&["run"]).ok().out, "nothing to do: 2 tasks fresh\n");
}
