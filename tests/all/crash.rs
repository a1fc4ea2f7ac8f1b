//! Law 5: outputs, then record. The process dies, or the disk is full, at every write point of a run.

use crate::house::House;

const TASKS: [&str; 4] = ["root", "a", "b", "c"];

fn plan() -> House {
    House::new()
        .file("tasks/root.toml", "title = \"root\"\nroot = true\nprompt = \"answer of root\"\n")
        .file("x.md", "x\n")
        .task("a", "inputs = [\"x.md\"]\n")
        .task("b", "requires = [\"a\"]\n")
        .task("c", "run = \"template\"\nrequires = [\"b\"]\n")
}

/// What an undisturbed run makes.
fn undisturbed() -> std::collections::BTreeMap<String, Vec<u8>> {
    let house = plan();
    house.meu(&["run", "-j1"]).ok();
    assert_eq!(house.asked(), TASKS[..3]);
    house.files()
}

fn no_leftovers(house: &House) {
    let outside: Vec<String> =
        house.files().into_keys().filter(|path| path.contains("tmp") || path.contains(".new")).collect();
    assert_eq!(outside, [""; 0]);
    let left = std::fs::read_dir(house.root().join(".meu/tmp")).expect("tmp").flatten().count();
    assert_eq!(left, 0);
}

fn at_every_point(kind: &str) {
    let expected = undisturbed();
    for number in 1.. {
        let mut house = plan();
        house.env("MEU_FAIL", &format!("{kind}:{number}"));
        let cut = house.meu(&["run", "-j1"]);
        house.without_env("MEU_FAIL");
        // Whatever is there is whole: an output has its text or is not there at all.
        for (path, bytes) in house.files() {
            if path.starts_with("out/") {
                assert_eq!(Some(&bytes), expected.get(&path), "{kind}:{number} {path}");
            }
        }
        let status = house.meu(&["status"]);
        assert_eq!(status.code, 0, "{kind}:{number} {}", status.err);
        assert!(!status.out.contains("edited"), "{kind}:{number}: meu's own text is no edit\n{}", status.out);
        house.meu(&["run", "-j1"]).ok();
        let asked = house.asked();
        assert!(asked.len() <= 4, "{kind}:{number}: {asked:?} were asked");
        assert!(house.files() == expected, "{kind}:{number}: other files than those of an undisturbed run");
        no_leftovers(&house);
        house.run_asks(&[]);
        if cut.code == 0 {
            assert!(number > 20, "only {number} points were reached");
            return;
        }
    }
}

#[test]
fn killed_at_every_write_point_a_run_goes_on() {
    at_every_point("kill");
}

#[test]
fn a_full_disk_at_every_write_point_loses_nothing() {
    at_every_point("full");
}

#[test]
fn an_interrupted_run_keeps_the_answers_in_flight() {
    let house = plan();
    // The model interrupts meu as a person would, and then answers.
    house.hook("if [ \"$title\" = a ]; then kill -INT $PPID; sleep 0.2; fi\n");
    let said = house.meu(&["run", "-j1"]);
    assert_eq!(said.code, 130, "{}{}", said.out, said.err);
    assert_eq!(house.asked(), ["root", "a"]);
    house.hook("");
    house.run_asks(&["b"]);
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let house = plan();
    // While the model answers, another run is tried from inside it.
    let inner =
        format!("{} run > \"$HOME/inner\" 2>&1; echo $? >> \"$HOME/inner\"\n", env!("CARGO_BIN_EXE_meu"));
    house.hook(&format!("if [ \"$title\" = root ]; then {} fi\n", inner.replace('\n', ";")));
    house.meu(&["run", "-j1"]).ok();
    let inner = std::fs::read_to_string(house.home().join("inner")).expect("the inner run's words");
    assert!(inner.starts_with("error: another run holds the project (process "), "{inner}");
    assert!(inner.ends_with("\n4\n"), "{inner}");
}

#[test]
fn a_crash_under_force_pays_once() {
    let mut house = plan();
    house.run_asks(&["root", "a", "b"]);
    // Killed after root's new answer is in the journal.
    house.env("MEU_FAIL", "kill:3");
    assert_eq!(house.meu(&["run", "-j1", "--force", "root"]).code, -1);
    house.without_env("MEU_FAIL");
    house.meu(&["run", "-j1", "--force", "root"]).ok();
    assert_eq!(house.asked(), ["root"]);
}
