//! Bad input: each case with its whole message. Nothing runs and nothing is written.

use crate::house::House;

/// A project that is refused with exactly this on stderr, by `check` and by `run`.
fn refused(house: &House, expected: &str) {
    let before = house.files();
    for command in ["check", "run"] {
        let said = house.meu(&[command]);
        assert_eq!(said.err, expected, "{command}");
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{command}");
    }
    assert_eq!(house.asked(), [""; 0]);
    assert!(house.files() == before, "a refused project is left as it is");
}

fn one(toml: &str) -> House {
    House::new().file("tasks/a.toml", toml)
}

#[test]
fn a_misspelt_key() {
    refused(
        &one("prompt = \"x\"\nrequries = []\n"),
        "error: unknown key `requries`
 --> tasks/a.toml:2:1
  |
2 | requries = []
  | ^^^^^^^^
  = help: did you mean `requires`?
error: 1 problem in this project
",
    );
}

#[test]
fn a_wrong_type() {
    refused(
        &one("prompt = \"x\"\nrequires = \"b\"\n"),
        "error: `requires` must be a list of texts, not a text
 --> tasks/a.toml:2:12
  |
2 | requires = \"b\"
  |            ^^^
  = help: write `requires = [\"b\"]`
error: 1 problem in this project
",
    );
}

#[test]
fn broken_toml() {
    let said = one("prompt = \"x\nrun = \"model\"\n").meu(&["check"]);
    assert_eq!(said.code, 2);
    assert!(said.err.starts_with("error: TOML: invalid basic string"), "{}", said.err);
    assert!(said.err.contains(" --> tasks/a.toml:1:12\n"), "{}", said.err);
}

#[test]
fn an_unknown_id_with_a_near_name() {
    refused(
        &one("prompt = \"x\"\nrequires = [\"colect\"]\n").task("collect", ""),
        "error: no task `colect`
 --> tasks/a.toml:2:13
  |
2 | requires = [\"colect\"]
  |             ^^^^^^^^
  = help: did you mean `collect`?
error: 1 problem in this project
",
    );
}

#[test]
fn an_unknown_heading() {
    refused(
        &one("prompt = \"x\"\ninputs = [\"spec.md#Erors\"]\n").file("spec.md", "# Spec\n\n## Errors\n\nx\n"),
        "error: `spec.md` has no heading `Erors`
 --> tasks/a.toml:2:11
  |
2 | inputs = [\"spec.md#Erors\"]
  |           ^^^^^^^^^^^^^^^
  = help: did you mean `Errors`?
error: 1 problem in this project
",
    );
}

#[test]
fn what_a_link_at_the_place_of_an_output_hides_goes_nowhere() {
    let house = House::new()
        .task("m", "run = \"manual\"\n")
        .task("u", "requires = [\"m\"]\n")
        .file(".env", "TOKEN=SECRET\n");
    std::fs::create_dir_all(house.root().join("out")).expect("a folder");
    std::os::unix::fs::symlink("../.env", house.root().join("out/m.md")).expect("a link");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("it is a symlink to `.env`, which is no document"), "{}", said.out);
    assert!(!house.meu(&["context", "show", "u", "--full"]).out.contains("SECRET"));
    // So it is with INDEX.md.
    house.remove("out/m.md");
    house.put("out/m.md", "mine\n");
    house.remove("INDEX.md");
    std::os::unix::fs::symlink(".env", house.root().join("INDEX.md")).expect("a link");
    house.meu(&["run"]);
    let shown = house.meu(&["context", "show", "u", "--full"]);
    assert!(!shown.out.contains("SECRET"), "{}", shown.out);
    assert!(!house.exists("out/u.md") || !house.read("out/u.md").contains("SECRET"));
    assert_eq!(house.read(".env"), "TOKEN=SECRET\n");
}

#[test]
fn a_document_that_is_not_there() {
    refused(
        &one("prompt = \"x\"\ninputs = [\"spec.md\"]\n"),
        "error: no document `spec.md`
 --> tasks/a.toml:2:11
  |
2 | inputs = [\"spec.md\"]
  |           ^^^^^^^^^
  = help: paths start at the project's folder
error: 1 problem in this project
",
    );
}

#[test]
fn an_empty_project() {
    refused(
        &House::new(),
        "error: there is no task in `tasks/`
 = help: `meu new ID` writes a first one
error: 1 problem in this project
"
        .replace("\n = help", "\n  = help")
        .as_str(),
    );
}

#[test]
fn no_meu_toml() {
    let house = House::empty();
    let said = house.meu(&["run"]);
    let root = house.root().canonicalize().expect("a root");
    let expected = format!(
        "error: no meu.toml in {} or any folder above it\n  = help: `meu init` makes a project here; `-C DIR` looks elsewhere\n",
        root.display()
    );
    assert_eq!((said.code, said.err), (2, expected));
}

#[test]
fn a_glob_that_matches_nothing_is_a_warning() {
    let house =
        one("title = \"a\"\nprompt = \"answer of a\"\ninputs = [\"none/*.md\"]\nrequires = [\"none/*\"]\n");
    let said = house.meu(&["run"]).ok();
    assert_eq!(
        said.err,
        "warning: `none/*.md` matches no document
 --> tasks/a.toml:3:11
  |
3 | inputs = [\"none/*.md\"]
  |           ^^^^^^^^^^^
  = help: globs start at the project's folder and skip outputs, hidden and ignored files
warning: `none/*` matches no task
 --> tasks/a.toml:4:13
  |
4 | requires = [\"none/*\"]
  |             ^^^^^^^^
  = help: `requires` stays empty until a task of that name is there
"
    );
    assert_eq!(house.asked(), ["a"]);
}

#[test]
fn a_link_to_itself() {
    refused(
        &one("prompt = \"x\"\nrequires = [\"a\"]\n"),
        "error: the task `a` requires itself
 --> tasks/a.toml:2:13
  |
2 | requires = [\"a\"]
  |             ^^^
  = help: remove the link
error: 1 problem in this project
",
    );
}

#[test]
fn a_link_to_a_duplicate_of_itself() {
    refused(
        &one("prompt = \"x\"\nrefers = [\"b\"]\n").file("tasks/b.toml", "duplicates = \"a\"\n"),
        "error: the task `a` refers to itself
 --> tasks/a.toml:2:11
  |
2 | refers = [\"b\"]
  |           ^^^
  = help: `b` is a duplicate of it: remove the link
error: 1 problem in this project
",
    );
}

#[test]
fn an_id_from_a_file_and_from_a_table() {
    refused(
        &one("prompt = \"x\"\n[tasks.b]\nprompt = \"y\"\n").file("tasks/a/b.toml", "prompt = \"z\"\n"),
        "error: two tasks have the id `a/b`
 --> tasks/a/b.toml:1:1
  |
1 | prompt = \"z\"
  | ^
 --> tasks/a.toml:2:8
  |
2 | [tasks.b]
  |        ^ the other one
  = help: rename one of them
error: 1 problem in this project
",
    );
}

#[test]
fn a_circle_is_told_by_its_shortest_path() {
    let house = House::new()
        .task("a", "requires = [\"b\"]\n")
        .task("b", "requires = [\"c\"]\n")
        .task("c", "requires = [\"a\", \"d\"]\n")
        .task("d", "requires = [\"c\"]\n");
    refused(
        &house,
        "error: a circle of `requires`: c -> d -> c
 --> tasks/c.toml:3:18
  |
3 | requires = [\"a\", \"d\"]
  |                  ^^^
 --> tasks/d.toml:3:13
  |
3 | requires = [\"c\"]
  |             ^^^ `d` requires `c`
  = help: if `d` only mentions `c`, move that link to `refers`, which never blocks
error: 1 problem in this project
",
    );
}

#[test]
fn a_document_that_is_no_text() {
    let mut house = one("prompt = \"x\"\ninputs = [\"a.bin\"]\n").file("a.bin", b"ok\xff");
    refused(
        &house,
        "error: `a.bin` cannot be read: it is not UTF-8 text: the byte at offset 2 is wrong
 --> tasks/a.toml:2:11
  |
2 | inputs = [\"a.bin\"]
  |           ^^^^^^^
error: 1 problem in this project
",
    );
    // Only a glob brought it in: left out, with a word.
    house = house.file("tasks/a.toml", "title = \"a\"\nprompt = \"answer of a\"\ninputs = [\"*.bin\"]\n");
    let said = house.meu(&["run"]).ok();
    assert_eq!(
        said.err,
        "warning: `a.bin` is left out: it is not UTF-8 text: the byte at offset 2 is wrong\n"
    );
}

#[test]
fn a_task_file_that_cannot_be_read() {
    refused(
        &one("prompt = \"x\"\n").file("tasks/b.toml", b"prompt = \"\xff\"\n"),
        "error: `tasks/b.toml` cannot be read: it is not UTF-8 text: the byte at offset 10 is wrong
error: 1 problem in this project
",
    );
}

#[test]
fn a_document_in_utf_16() {
    let said = one("prompt = \"x\"\ninputs = [\"a.md\"]\n").file("a.md", b"\xff\xfeh\0i\0").meu(&["check"]);
    assert!(
        said.err.starts_with(
            "error: `a.md` cannot be read: it is UTF-16; save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)\n"
        ),
        "{}",
        said.err
    );
}

#[test]
fn a_document_of_200_megabytes() {
    let house = one("prompt = \"x\"\ninputs = [\"big.md\"]\n");
    let file = std::fs::File::create(house.root().join("big.md")).expect("a file");
    file.set_len(200_000_000).expect("sparse");
    refused(
        &house,
        "error: `big.md` cannot be read: it has 200000000 bytes and a document may have 16777216; take a part of it out into a file
 --> tasks/a.toml:2:11
  |
2 | inputs = [\"big.md\"]
  |           ^^^^^^^^
error: 1 problem in this project
",
    );
}

#[test]
fn paths_that_leave_the_project() {
    let house = one("prompt = \"x\"\noutput = \"../a.md\"\ninputs = [\"/etc/passwd\", \"../x.md\"]\n");
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("error: the path leaves the project with `..`\n --> tasks/a.toml:2:10\n"),
        "{}",
        said.err
    );
    assert!(said.err.contains(
        "error: the path is absolute; paths start at the project's folder\n --> tasks/a.toml:3:11\n"
    ));
    assert!(said.err.ends_with("error: 3 problems in this project\n"), "{}", said.err);
}

#[cfg(unix)]
#[test]
fn a_symlink_out_of_the_project() {
    let house = one("prompt = \"x\"\ninputs = [\"link.md\"]\n");
    std::fs::write(house.home().join("secret"), "s").expect("a secret");
    std::os::unix::fs::symlink(house.home().join("secret"), house.root().join("link.md")).expect("a link");
    refused(
        &house,
        "error: `link.md` cannot be read: it is a symlink that leads out of the project
 --> tasks/a.toml:2:11
  |
2 | inputs = [\"link.md\"]
  |           ^^^^^^^^^
error: 1 problem in this project
",
    );
}

#[cfg(unix)]
#[test]
fn what_says_what_the_project_is_is_not_read_through_symlinks_out_of_it() {
    use std::os::unix::fs::symlink;
    let secret = |house: &House| {
        let path = house.home().join("secret");
        std::fs::write(&path, "password = hunter2\n").expect("a secret");
        path
    };
    for file in ["tasks/b.toml", "meu.toml", "meu.lock", "templates/task.txt"] {
        let house = one("prompt = \"x\"\n").file("templates/x", "");
        let _ = std::fs::remove_file(house.root().join(file));
        symlink(secret(&house), house.root().join(file)).expect("a link");
        let said = house.meu(&["check"]);
        assert_eq!(said.code, 2, "{file}: {said:?}");
        let expected = format!("error: `{file}` cannot be read: a symlink leads it out of the project\n");
        assert!(said.err.starts_with(&expected), "{file}: {said:?}");
        assert!(!said.err.contains("hunter2"), "{file}: {said:?}");
    }
    // What is hidden is no more the project's.
    let house = one("prompt = \"x\"\n").file(".env", "KEY=hunter2\n");
    symlink("../.env", house.root().join("tasks/b.toml")).expect("a link");
    refused(
        &house,
        "error: `tasks/b.toml` cannot be read: a symlink leads it to what is hidden
error: 1 problem in this project
",
    );
    // The folder of tasks itself.
    let house = one("prompt = \"x\"\n");
    house.remove("tasks");
    secret(&house);
    std::fs::rename(house.home().join("secret"), house.home().join("secret.toml")).expect("renamed");
    symlink(house.home(), house.root().join("tasks")).expect("a link");
    let said = house.meu(&["check"]);
    assert!(
        said.err
            .starts_with("error: the folder `tasks` cannot be read: a symlink leads it out of the project\n"),
        "{said:?}"
    );
    assert!(!said.err.contains("hunter2"), "{said:?}");
    // A link to another file of the project is as good as that.
    let house = one("prompt = \"x\"\n").file("shared/b.toml", "prompt = \"y\"\n");
    symlink("../shared/b.toml", house.root().join("tasks/b.toml")).expect("a link");
    assert!(house.meu(&["status"]).ok().out.contains("missing b"));
}

#[test]
fn settings_that_are_no_text_are_all_that_is_told() {
    // Without them the tasks could be anywhere.
    let house = House::empty()
        .file("meu.toml", b"tasks = \"plan\"\nname = \"\xff\"\n")
        .file("plan/a.toml", "prompt = \"x\"\n");
    refused(
        &house,
        "error: `meu.toml` cannot be read: it is not UTF-8 text: the byte at offset 23 is wrong
error: 1 problem in this project
",
    );
}

#[cfg(unix)]
#[test]
fn an_output_through_a_symlink_out_of_the_project() {
    let house = one("title = \"a\"\nprompt = \"answer of a\"\noutput = \"away/a.md\"\n");
    std::os::unix::fs::symlink(house.home(), house.root().join("away")).expect("a link");
    refused(
        &house,
        "error: the output `away/a.md` lies behind a symlink
 --> tasks/a.toml:3:10
  |
3 | output = \"away/a.md\"
  |          ^^^^^^^^^^^
  = help: choose another place, or replace the symlink by a folder
error: 1 problem in this project
",
    );
    assert!(!house.home().join("a.md").exists());
}

#[cfg(unix)]
#[test]
fn a_symlink_to_what_is_no_document() {
    let house = House::new().task("a", "inputs = [\"docs/*.md\"]\n").task("b", "requires = [\"a\"]\n");
    house.put("docs/own.md", "own\n");
    std::os::unix::fs::symlink("../out/b.md", house.root().join("docs/b.md")).expect("a link");
    std::os::unix::fs::symlink("../.model.sh", house.root().join("docs/m.md")).expect("a link");
    house.run_asks(&["a", "b"]);
    house.run_asks(&[]);
    let show = house.meu(&["context", "show", "a", "--json"]).json();
    assert_eq!(show["items"].as_array().map(Vec::len), Some(1), "{show}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_document() {
    let house = one("prompt = \"x\"\ninputs = [\"pipe.md\"]\n");
    let made =
        std::process::Command::new("mkfifo").arg(house.root().join("pipe.md")).status().expect("mkfifo");
    assert!(made.success());
    let said = house.meu(&["check"]);
    assert!(said.err.starts_with("error: `pipe.md` cannot be read: it is not a file\n"), "{}", said.err);
}

#[test]
fn an_index_in_a_place_of_meus_own() {
    for index in ["meu.toml", "meu.lock", "tasks/a.toml", "templates/task.txt", ".gitignore"] {
        let house = House::empty()
            .file("meu.toml", format!("[project]\nindex = {index:?}\n"))
            .file("tasks/a.toml", "run = \"template\"\nprompt = \"x\"\n");
        let before = house.files();
        let said = house.meu(&["run"]);
        assert_eq!(said.code, 2, "{index}: {}", said.err);
        assert!(said.err.starts_with(&format!("error: the index `{index}` is ")), "{}", said.err);
        assert!(house.files() == before);
    }
}

#[test]
fn the_root_task_cannot_read_what_it_writes() {
    let house =
        House::new().file("tasks/root.toml", "root = true\nprompt = \"x\"\n[context]\npin = [\"index\"]\n");
    refused(
        &house,
        "error: the root task cannot read the index document: it writes it
 --> tasks/root.toml:4:8
  |
4 | pin = [\"index\"]
  |        ^^^^^^^
  = help: take it out; documents are welcome
error: 1 problem in this project
",
    );
}

#[test]
fn an_endless_prompt_ends() {
    let house = one(
        "run = \"template\"\nprompt = \"{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}\"\n",
    );
    let said = house.meu(&["check"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.starts_with("error: the prompt cannot be rendered: "), "{}", said.err);
    let deep = format!("run = \"template\"\nprompt = \"{{{{ {}1 }}}}\"\n", "not ".repeat(25_000));
    let said = one(&deep).meu(&["check"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("an expression is too long"), "{}", said.err);
}

#[test]
fn a_lock_line_of_nobody_stops_everything() {
    let house = House::new().task("a", "").task("b", "");
    house.run_asks(&["a", "b"]);
    house.put("meu.lock", house.read("meu.lock").replacen("{\"task\"", "{\"tusk\"", 1));
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.asked().len()), (2, 0), "{}", said.err);
    assert!(
        said.err.starts_with("error: this line of the lock cannot be read, not even whose it is: "),
        "{}",
        said.err
    );
    assert!(said.err.contains(" --> meu.lock:2:1\n"), "{}", said.err);
}

#[test]
fn a_misspelt_tag_is_no_empty_success() {
    let house = House::new().task("a", "tags = [\"draft\"]\n");
    let said = house.meu(&["status", "--check", "tag:darft"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (2, "error: no task matches `tag:darft`\n  = help: did you mean `draft`?\n")
    );
    assert_eq!(house.meu(&["run", "--max-cost", "nan"]).code, 2);
}

#[test]
fn outputs_that_collide() {
    let house = House::new()
        .task("a", "output = \"Doc.md\"\n")
        .task("b", "output = \"doc.md\"\n")
        .task("c", "output = \"notes/x.md\"\n")
        .task("d", "inputs = [\"notes/x.md\"]\n")
        .task("e", "output = \"tasks/e.toml\"\n")
        .task("f", "output = \"meu.lock\"\n")
        .task("g", "output = \"x.new.md\"\n")
        .task("h", "output = \".git/x\"\n")
        .task("i", "output = \"con.md\"\n");
    let said = house.meu(&["check"]);
    for message in [
        "error: the outputs `Doc.md` and `doc.md` differ in case only\n",
        "error: `notes/x.md` is the output of the task `c`\n",
        "error: the output `tasks/e.toml` is in the folder of the tasks\n",
        "error: the output `meu.lock` is one of meu's own files\n",
        "error: an output may not be named `*.new.*`",
        "error: an output may not lie in `.git` or `.meu`\n",
        "error: the path has a name that Windows reserves",
    ] {
        assert!(said.err.contains(message), "{message}\n{}", said.err);
    }
    assert!(said.err.ends_with("error: 7 problems in this project\n"), "{}", said.err);
}

#[test]
fn a_broken_lock_line_is_of_its_task_only() {
    let house = House::new().task("a", "").task("b", "");
    house.run_asks(&["a", "b"]);
    let lock = house.read("meu.lock").replace("{\"task\":\"a\",\"output\":", "{\"task\":\"a\",\"output\"");
    house.put("meu.lock", &lock);
    assert_eq!((house.state("a"), house.state("b")), ("failed".into(), "fresh".into()));
    let said = house.meu(&["run"]);
    assert_eq!((said.code, house.asked().len()), (1, 0), "{}{}", said.out, said.err);
    assert!(said.out.contains("meu.lock:2: the line cannot be read: "), "{}", said.out);
    assert!(house.read("meu.lock").contains("{\"task\":\"a\",\"output\"\"out/a.md\""), "the line is kept");
}

#[test]
fn a_newer_lock() {
    let house = House::new().task("a", "").file("meu.lock", "{\"meu_lock\":7}\n");
    refused(
        &house,
        "error: meu.lock has the format 7, and this meu reads up to 1
  = help: use the meu that wrote it, or a newer one
error: 1 problem in this project
",
    );
}

#[test]
fn unpaired_markers_in_the_index() {
    let house = House::new().task("a", "").file("INDEX.md", "# Mine\n\n<!-- meu:contents -->\n");
    refused(
        &house,
        "error: `INDEX.md` cannot be read: line 3 has a `meu:contents` marker without its partner; restore or remove it
error: 1 problem in this project
",
    );
}

#[test]
fn a_prompt_that_cannot_be_rendered() {
    refused(
        &one(
            "title = \"a\"\nprompt = \"\"\"\nFor {{ vars.audience }}\nand {{ vars.audiense }}\n\"\"\"\n[vars]\naudience = \"x\"\n",
        ),
        "error: the prompt cannot be rendered: undefined value: `vars.audiense` is undefined
 --> tasks/a.toml:4:1
  |
4 | and {{ vars.audiense }}
  | ^^^^^^^^^^^^^^^^^^^^^^^
  = help: in scope are `task`, `project`, `vars`, and text(\"task:…\") or text(\"doc:…\")
error: 1 problem in this project
",
    );
}

#[test]
fn an_unknown_provider_and_an_unknown_tier() {
    let house = House::new()
        .task("a", "[model]\nprovider = \"scirpt\"\n[context]\ntiers = [\"index\", \"requires\", \"index\", \"refer\"]\n");
    let said = house.meu(&["check"]);
    assert!(said.err.contains("error: no provider `scirpt`\n --> tasks/a.toml:4:12\n"), "{}", said.err);
    assert!(said.err.contains("= help: did you mean `script`?\n"), "{}", said.err);
    assert!(said.err.contains("error: the tier `index` is named twice\n"), "{}", said.err);
    assert!(said.err.contains("= help: did you mean `refers`?\n"), "{}", said.err);
}

#[test]
fn index_and_pins_over_the_budget() {
    let house = House::new()
        .file("big.md", "word ".repeat(100))
        .task("a", "[context]\nbudget = 100\npin = [\"doc:big.md\"]\n");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1);
    // The text without its last space, and a fence of 53 and 9 characters.
    assert!(
        said.out.contains("index and pins take 561 tokens and the budget is 100: doc:big.md 561"),
        "{}",
        said.out
    );
}

#[cfg(unix)]
#[test]
fn an_output_folder_that_cannot_be_written() {
    let house = House::new().task("a", "").file("out", "a file where a folder should be");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("`out/a.md` cannot be written: "), "{}", said.out);
    assert!(said.out.contains("(mend that, then run again)"), "{}", said.out);
    // The answer is kept: nobody is asked again.
    assert_eq!(house.asked(), ["a"]);
    house.remove("out");
    house.run_asks(&[]);
    assert_eq!(house.read("out/a.md"), "answer of a\n");
}

#[test]
fn a_program_that_was_not_allowed() {
    let mut house = House::new().task("a", "run = [\"sort\"]\n");
    house.without_env("MEU_TRUST");
    let said = house.meu(&["run"]);
    assert_eq!(said.code, 2);
    assert_eq!(
        said.err,
        "error: task a runs [\"sort\"]
  = help: look at it, then say `meu trust`; in CI set MEU_TRUST=1
error: this project wants what you have not allowed yet
"
    );
    house.meu(&["trust"]).ok();
    house.meu(&["run"]).ok();
    // Another program wants another yes; a status runs nothing and asks for none.
    house.put("tasks/a.toml", "title = \"a\"\nprompt = \"x\"\nrun = [\"sort\", \"-r\"]\n");
    assert_eq!(house.meu(&["status"]).code, 0);
    assert_eq!(house.meu(&["run"]).code, 2);
    // Of many the first are told.
    for at in 0..20 {
        house.task_put(&format!("b{at:02}"), "run = [\"sort\"]\n");
    }
    let said = house.meu(&["run"]).err;
    assert!(said.contains("error: task b18 runs [\"sort\"]\n"), "{said}");
    let end = "error: and 1 more like these, which `meu trust --show` lists
  = help: look at it, then say `meu trust`; in CI set MEU_TRUST=1
error: this project wants what you have not allowed yet
";
    assert!(said.ends_with(end) && !said.contains("b19"), "{said}");
}

#[test]
fn errors_as_json() {
    let said = one("prompt = \"x\"\nrequries = []\n").meu(&["check", "--json"]);
    assert_eq!(
        said.json(),
        serde_json::json!({"error": {"code": "invalid", "message": "1 problem in this project", "diagnostics": [{
            "file": "tasks/a.toml", "line": 2, "column": 1, "severity": "error",
            "message": "unknown key `requries`", "help": "did you mean `requires`?", "also": []
        }]}})
    );
    assert_eq!((said.code, said.err.as_str()), (2, ""));
}

#[test]
fn a_chain_of_3000_tasks() {
    let house = House::new();
    let mut text = String::from("[tasks.t0]\nrun = \"template\"\nprompt = \"x\"\n");
    for at in 1..3000 {
        text.push_str(&format!(
            "[tasks.t{at}]\nrun = \"template\"\nprompt = \"x\"\nrequires = [\"t{}\"]\n",
            at - 1
        ));
    }
    house.put("tasks/c.toml", &text);
    house.meu(&["check"]).ok();
    let json = house.meu(&["graph", "--json"]).json();
    assert_eq!(json["tasks"].as_array().map(Vec::len), Some(3000));
    let deepest = json["tasks"]
        .as_array()
        .and_then(|tasks| tasks.iter().filter_map(|task| task["level"].as_u64()).max());
    assert_eq!(deepest, Some(2999));
}
