//! meu in CI: the report, shards, the action and its workflows, what git gets, and a check that touches nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::house::{House, files, said};

/// Three levels of two tasks, and a document.
fn plan() -> House {
    House::new()
        .file("n.md", "note\n")
        .task("a1", "inputs = [\"n.md\"]")
        .task("a2", "")
        .task("b1", "requires = [\"a1\"]")
        .task("b2", "requires = [\"a1\", \"a2\"]")
        .task("c1", "requires = [\"b1\", \"b2\"]")
        .task("c2", "requires = [\"b2\"]")
}

fn committed(house: &House) {
    house.put(".gitignore", ".meu/\n");
    house.git(&["init", "-q"]);
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "all"]);
}

#[test]
fn a_report_tells_what_was_made_why_and_what_it_took() {
    let house = plan();
    house.meu(&["run"]).ok();
    committed(&house);
    assert_eq!(
        house.meu(&["report", "--since", "HEAD"]).ok().out,
        "<!-- meu:report -->\n### meu: nothing changed since `HEAD`\n"
    );
    house.put("n.md", "another note\n");
    house.answers("a1", "a longer answer");
    house.task_put("d", "requires = [\"c2\"]");
    house.remove("tasks/c1.toml");
    house.put("out/c2.md", "mine\n");
    house.meu(&["run"]).ok();
    let tokens = |task: &str, key: &str| {
        let shown = house.meu(&["show", "last", task, "--json"]).ok().json();
        let events = shown["events"].as_array().expect("events");
        let end = events.iter().find(|event| event["event"] == "task_finished").expect("an end");
        end[key].as_u64().expect("a number")
    };
    let json = house.meu(&["report", "--since", "HEAD", "--format", "json"]).ok().json();
    let row = |id: &str| -> Value {
        let tasks = json["tasks"].as_array().expect("tasks");
        tasks.iter().find(|task| task["id"] == id).unwrap_or_else(|| panic!("{id} in {json}")).clone()
    };
    let a1 = row("a1");
    assert_eq!((&a1["change"], &a1["state"]), (&json!("built"), &json!("fresh")));
    assert_eq!(a1["reasons"][0]["item"], "doc:n.md");
    assert_eq!(a1["tokens_in"].as_u64(), Some(tokens("a1", "tokens_in")));
    assert_eq!((&a1["items"][0]["ref"], &a1["items"][0]["change"]), (&json!("doc:n.md"), &json!("modified")));
    assert_eq!(
        (&row("d")["change"], &row("d")["reasons"][0]["kind"]),
        (&json!("new"), &json!("never_built"))
    );
    // What came out the same below is not in it; what a person edited is no work of meu's.
    let ids: Vec<&str> =
        json["tasks"].as_array().expect("tasks").iter().filter_map(|task| task["id"].as_str()).collect();
    assert_eq!(ids, ["a1", "b1", "b2", "d"]);
    let markdown = house.meu(&["report", "--since", "HEAD"]).ok().out;
    assert!(markdown.starts_with("<!-- meu:report -->\n### meu: 4 made since `HEAD`\n\n"), "{markdown}");
    let line = format!(
        "\n| `a1` | built | `doc:n.md changed` | {} | {} |",
        tokens("a1", "tokens_in"),
        tokens("a1", "tokens_out")
    );
    assert!(markdown.contains(&line), "{line} in {markdown}");
    assert!(markdown.contains("<details><summary>What changed in 4 contexts</summary>"), "{markdown}");
    assert_eq!(house.meu(&["report", "--since", "nothing"]).code, 2);
    // A failure is in it, though nothing of it is in the lock.
    house.hook("[ \"$title\" != e ] || exit 1");
    house.task_put("e", "");
    assert_eq!(house.meu(&["run"]).code, 1);
    let markdown = house.meu(&["report", "--since", "HEAD"]).ok().out;
    assert!(markdown.contains("| `e` | unchanged, failed | `"), "{markdown}");
}

#[test]
fn shards_make_together_what_one_run_makes() {
    let one = plan();
    one.meu(&["run"]).ok();
    let copies: Vec<House> = (0..3).map(|_| plan()).collect();
    let shared = copies[0].home().join("shared");
    let shard = |house: &House, nth: usize| {
        let mut command = house.command(&["run", "--shard", &format!("{nth}/3")]);
        command.env("MEU_CACHE_DIR", &shared).env("HOME", copies[0].home());
        command
    };
    // At once: of several that want one answer one asks, and the others wait for it.
    copies[0].hook("sleep 0.05");
    let running: Vec<_> =
        copies.iter().zip(1..).map(|(house, nth)| shard(house, nth).spawn().expect("meu starts")).collect();
    for mut child in running {
        assert!(child.wait().expect("meu ends").success());
    }
    let mut asked = copies[0].asked();
    asked.sort();
    assert_eq!(asked, ["a1", "a2", "b1", "b2", "c1", "c2"]);
    // Each made its part of every level, and what that requires.
    assert!(copies[0].exists("out/a1.md") && copies[0].exists("out/b1.md") && copies[0].exists("out/c1.md"));
    let whole = plan();
    let mut command = whole.command(&["run"]);
    let last = said(command.env("MEU_CACHE_DIR", &shared).output().expect("meu starts")).ok();
    assert_eq!(whole.asked(), [""; 0], "{}", last.out);
    assert_eq!(whole.files(), one.files());

    // One after the other it is the same.
    let (first, second) = (plan(), plan());
    let shared = first.home().join("shared");
    for (house, part) in [(&first, "1/2"), (&second, "2/2")] {
        let mut command = house.command(&["run", "--shard", part]);
        said(command.env("MEU_CACHE_DIR", &shared).env("HOME", first.home()).output().expect("meu starts"))
            .ok();
    }
    let mut asked = first.asked();
    asked.sort();
    assert_eq!(asked, ["a1", "a2", "b1", "b2", "c1", "c2"]);
    for wrong in ["0/2", "3/2", "2", "a/b", "1/0"] {
        assert_eq!(first.meu(&["run", "--shard", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn the_paths_of_a_report_are_those_that_git_takes() {
    let house = House::new().task("a", "").task("b", "").task("c", "");
    house.put(".gitignore", ".meu/\nout/b.md\nout/c.md\n");
    house.git(&["init", "-q"]);
    house.git(&["add", "-A"]);
    // Tracked though it is ignored.
    house.put("out/c.md", "");
    house.git(&["add", "-f", "out/c.md"]);
    house.git(&["commit", "-qm", "x"]);
    house.remove("out/c.md");
    house.meu(&["run"]).ok();
    let paths = house.meu(&["report", "--since", "HEAD", "--format", "paths"]).ok().out;
    assert_eq!(paths, "INDEX.md\nmeu.lock\nout/a.md\nout/c.md\n");
    house.put("../paths", &paths);
    house.git(&["--literal-pathspecs", "add", "--pathspec-from-file=../paths"]);
    // Nor what lies in a repository of its own.
    let house = house.task("d", "output = \"site/d.md\"\n");
    house.git(&["init", "-q", "site"]);
    house.meu(&["run"]).ok();
    assert_eq!(house.meu(&["report", "--since", "HEAD", "--format", "paths"]).ok().out, paths);
}

#[test]
fn git_gets_all_that_it_needs() {
    let house = House::empty();
    house.meu(&["init", "--git"]).ok();
    assert!(house.exists(".git/HEAD"));
    assert_eq!(house.read(".gitattributes"), "meu.lock merge=union\n");
    let hooks: Value = serde_yaml::from_str(&house.read(".pre-commit-config.yaml")).expect("YAML");
    assert_eq!(hooks["repos"][0]["hooks"][0]["entry"], "meu status --check");
    assert_eq!(house.meu(&["init", "--git"]).ok().out, "git has all that it needs\n");
    assert_eq!(house.meu(&["init"]).code, 2);
    // A person's own hooks stay as they are.
    house.put(".pre-commit-config.yaml", "repos: []\n");
    let again = house.meu(&["init", "--git"]).ok();
    assert!(again.err.contains("the hook to add to it:"), "{}", again.err);
    assert_eq!(house.read(".pre-commit-config.yaml"), "repos: []\n");
    assert!(!again.out.contains("git has all"), "{}", again.out);

    // In a folder of a repository the hook is where pre-commit looks for it, and finds the project from there.
    let house = House::empty();
    house.git(&["init", "-q"]);
    house.meu(&["init", "docs/plan", "--git"]).ok();
    assert!(!house.exists("docs/plan/.pre-commit-config.yaml") && !house.exists("docs/plan/.git"));
    let hooks: Value = serde_yaml::from_str(&house.read(".pre-commit-config.yaml")).expect("YAML");
    assert_eq!(hooks["repos"][0]["hooks"][0]["entry"], "meu -C 'docs/plan' status --check");
    assert_eq!(house.meu(&["-C", "docs/plan", "init", "--git"]).ok().out, "git has all that it needs\n");
    // Another project there is another hook, however its folder is called.
    let folder = "it's: a #plan";
    let said = house.meu(&["init", folder, "--git"]).ok();
    let told = said.err.split_once("the hook to add to it:\n").expect("a hook").1;
    let hooks: Value = serde_yaml::from_str(told).expect("YAML");
    let entry = hooks["repos"][0]["hooks"][0]["entry"].as_str().expect("an entry");
    assert_eq!(entry, r"meu -C 'it'\''s: a #plan' status --check");
    let status = house.meu(&["-C", folder, "status", "--check"]);
    let meu = house.command(&[]).get_program().to_owned();
    let words = entry.strip_prefix("meu").expect("meu");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("\"$0\"{words}")]).arg(meu).current_dir(house.root());
    assert_eq!(shell.status().expect("a shell").code(), Some(status.code));
    // What an older version wrote for a folder is not the hook of the project at the top.
    house.put(
        ".pre-commit-config.yaml",
        house.read(".pre-commit-config.yaml").replace("meu-docs/plan", "meu"),
    );
    assert_eq!(house.meu(&["-C", "docs/plan", "init", "--git"]).ok().out, "git has all that it needs\n");
    let said = house.meu(&["init", "--git"]).ok();
    assert!(said.err.contains("entry: meu status --check\n"), "{said:?}");
}

/// A file of meu's own repository.
fn own(path: &str) -> Value {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A machine that runs the action's steps as GitHub does: expressions from a table, scripts in bash.
struct Runner<'a> {
    house: &'a House,
    values: BTreeMap<&'static str, String>,
}

impl Runner<'_> {
    /// The value of `${{ … }}`: the first alternative that is not empty.
    fn value(&self, expression: &str) -> String {
        let known = |name: &str| {
            self.values.get(name.trim()).cloned().unwrap_or_else(|| panic!("nothing is known of `{name}`"))
        };
        expression.split("||").map(known).find(|value| !value.is_empty()).unwrap_or_default()
    }

    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, after) = after.split_once("}}").expect("an end");
            filled.push_str(before);
            filled.push_str(&self.value(expression));
            rest = after;
        }
        filled + rest
    }

    /// Whether a step runs: conditions joined by `&&`, each a value, `== 'x'` or `!= 'x'`.
    fn wants(&self, step: &Value) -> bool {
        let Some(condition) = step["if"].as_str() else { return true };
        let conditions = condition.split("&&").filter(|part| part.trim() != "always()");
        let mut conditions = conditions;
        conditions.all(|part| match (part.split_once("=="), part.split_once("!=")) {
            (Some((name, word)), _) => self.value(name) == word.trim().trim_matches('\''),
            (_, Some((name, word))) => self.value(name) != word.trim().trim_matches('\''),
            _ => !self.value(part).is_empty(),
        })
    }

    /// Runs the action's steps to the first that fails. Returns its name and what it printed.
    fn run(&mut self) -> Result<(), (String, String)> {
        let action = own(".github/actions/meu/action.yml");
        let temp = self.house.home();
        let bin = Path::new(env!("CARGO_BIN_EXE_meu")).parent().expect("a folder").to_owned();
        // What GitHub is told: its own client, with a note of each call.
        let gh = temp.join("bin/gh");
        std::fs::create_dir_all(temp.join("bin")).expect("a folder");
        let script = "#!/bin/sh\necho \"$@\" >> \"$HOME/gh\"\n[ \"$1\" != api ] || [ -z \"$COMMENT\" ] || echo \"$COMMENT\"\n";
        std::fs::write(&gh, script).expect("a script");
        Command::new("chmod").arg("+x").arg(&gh).status().expect("chmod");
        let path = std::env::var("PATH").expect("PATH");
        for step in action["runs"]["steps"].as_array().expect("steps") {
            let name = step["name"].as_str().expect("a name").to_owned();
            let Some(script) = step["run"].as_str() else {
                assert!(
                    step["uses"].as_str().is_some_and(|uses| uses.starts_with("actions/cache/")),
                    "{name}"
                );
                continue;
            };
            if !self.wants(step) {
                continue;
            }
            assert_eq!(step["shell"], "bash", "{name}");
            assert!(!script.contains("${{"), "{name}: a script is not put together from what others write");
            let mut command = Command::new("bash");
            command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(self.house.root()).env_clear();
            command.env("PATH", format!("{}:{}:{path}", temp.join("bin").display(), bin.display()));
            command.env("HOME", &temp).env("RUNNER_TEMP", &temp).env("GIT_CONFIG_GLOBAL", "/dev/null");
            command
                .env("GITHUB_OUTPUT", temp.join("output"))
                .env("GITHUB_STEP_SUMMARY", temp.join("summary"));
            command.env("GITHUB_ACTIONS", "true").env("MEU_TRUST", "1");
            command.env("COMMENT", self.values.get("comment").cloned().unwrap_or_default());
            for (key, value) in step["env"].as_object().into_iter().flatten() {
                command.env(key, self.fill(value.as_str().expect("a text")));
            }
            let said = said(command.output().expect("bash starts"));
            if said.code != 0 {
                return Err((name, format!("{}{}", said.out, said.err)));
            }
            let outputs = std::fs::read_to_string(temp.join("output")).unwrap_or_default();
            for code in outputs.lines().filter_map(|line| line.strip_prefix("code=")) {
                self.values.insert("steps.build.outputs.code", code.to_owned());
            }
        }
        Ok(())
    }

    /// What GitHub's client was told, and forgets it.
    fn told(&self) -> String {
        let path = self.house.home().join("gh");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        text
    }
}

#[test]
fn the_action_checks_builds_hands_over_and_tells() {
    let house = plan();
    committed(&house);
    let bare = house.home().join("origin.git");
    let bare = bare.to_str().expect("a path");
    house.git(&["clone", "-q", "--bare", ".", bare]);
    house.git(&["remote", "add", "origin", bare]);
    let action = own(".github/actions/meu/action.yml");
    let mut values: BTreeMap<&'static str, String> = BTreeMap::from([
        ("github.action_path", "/nowhere".into()),
        ("github.token", "t0ken".into()),
        ("github.repository", "o/r".into()),
        ("github.event.pull_request.base.sha", String::new()),
        ("github.event.before", "0000000000000000000000000000000000000000".into()),
        ("github.event.pull_request.number", String::new()),
        ("github.head_ref", String::new()),
        ("github.ref_name", "main".into()),
        ("github.ref", "refs/heads/main".into()),
        ("github.sha", String::new()),
        ("github.event.pull_request.head.repo.full_name", String::new()),
        ("steps.build.outputs.code", String::new()),
    ]);
    let inputs = action["inputs"].as_object().expect("inputs");
    let names = ["command", "folder", "max-cost", "deliver", "branch", "since", "token"];
    assert_eq!(inputs.keys().map(String::as_str).collect::<Vec<_>>(), names);
    let keys = [
        "inputs.command",
        "inputs.folder",
        "inputs.max-cost",
        "inputs.deliver",
        "inputs.branch",
        "inputs.since",
        "inputs.token",
    ];
    for (key, name) in keys.into_iter().zip(names) {
        let default =
            inputs[name]["default"].as_str().expect("a text").replace("${{ github.token }}", "t0ken");
        values.insert(key, default);
    }
    let mut runner = Runner { house: &house, values };

    // Nothing was built: the check says so, and annotates.
    let (step, printed) = runner.run().expect_err("not up to date");
    assert_eq!(step, "Check");
    assert!(printed.contains("::error file=out/a1.md,title=a1 is missing::"), "{printed}");

    // A build onto the branch itself.
    runner.values.insert("inputs.command", "build".into());
    runner.run().unwrap_or_else(|(step, printed)| panic!("{step}: {printed}"));
    assert_eq!(
        house.git(&["--git-dir", bare, "log", "--format=%s", "main"]),
        "Bring outputs up to date\nall\n"
    );
    assert_eq!(house.git(&["--git-dir", bare, "show", "main:out/c1.md"]), "answer of c1\n");
    assert!(house.git(&["--git-dir", bare, "ls-tree", "-r", "--name-only", "main"]).contains("meu.lock\n"));
    assert_eq!(runner.told(), "");
    let summary = std::fs::read_to_string(house.home().join("summary")).expect("a summary");
    assert!(summary.contains("### meu: 6 made since `HEAD`"), "{summary}");
    runner.values.insert("inputs.command", "check".into());
    runner.run().unwrap_or_else(|(step, printed)| panic!("{step}: {printed}"));

    // What lies about is not handed over; what a fork sends gets nothing, nor does GitHub's own merge.
    house.put("credentials.json", "secret\n");
    runner.values.insert("inputs.command", "build".into());
    house.put("n.md", "once more\n");
    house.answers("a1", "once more");
    runner.run().unwrap_or_else(|(step, printed)| panic!("{step}: {printed}"));
    assert!(!house.git(&["--git-dir", bare, "ls-tree", "-r", "--name-only", "main"]).contains("credentials"));
    house.remove("credentials.json");
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "note"]);
    runner.values.insert("github.event.pull_request.head.repo.full_name", "fork/r".into());
    let (step, printed) = runner.run().expect_err("a fork");
    assert_eq!((step.as_str(), printed.contains("from a fork")), ("Deliver", true), "{printed}");
    runner.values.insert("github.event.pull_request.head.repo.full_name", "o/r".into());
    runner.values.insert("github.ref", "refs/pull/7/merge".into());
    runner.values.insert("github.sha", house.git(&["rev-parse", "HEAD"]).trim().to_owned());
    let (step, printed) = runner.run().expect_err("a merge commit");
    assert_eq!((step.as_str(), printed.contains("GitHub's merge")), ("Deliver", true), "{printed}");
    runner.values.insert("github.sha", "f00".into());

    // For a pull request, from a branch of its own, with a comment that is kept up to date. One task fails.
    runner.values.insert("inputs.command", "build".into());
    runner.values.insert("inputs.deliver", "pull-request".into());
    runner.values.insert("github.event.pull_request.number", "7".into());
    runner.values.insert("github.head_ref", "topic".into());
    house.put("n.md", "other\n");
    house.answers("a1", "other");
    house.answers("b2", "other b2");
    house.hook("[ \"$title\" != c1 ] || exit 1");
    house.git(&["add", "-A"]);
    house.git(&["commit", "-qm", "edit"]);
    let (step, _) = runner.run().expect_err("a task failed");
    assert_eq!(step, "End");
    let told = runner.told();
    assert!(
        told.contains("pr create --head meu/outputs --base topic --title Bring outputs up to date"),
        "{told}"
    );
    assert!(told.contains("api --silent --method POST repos/o/r/issues/7/comments --field body=@"), "{told}");
    assert_eq!(house.git(&["--git-dir", bare, "show", "meu/outputs:out/a1.md"]), "other\n");
    runner.values.insert("comment", "99".into());
    runner.run().expect_err("it fails still");
    let told = runner.told();
    assert!(
        told.contains("api --silent --method PATCH repos/o/r/issues/comments/99 --field body=@"),
        "{told}"
    );

    // What a person committed to the branch stays.
    house.git(&["commit", "-q", "--allow-empty", "-m", "mine"]);
    house.git(&["push", "-q", "origin", "HEAD:refs/heads/meu/outputs", "--force"]);
    house.hook("");
    house.put("n.md", "and again\n");
    house.answers("a1", "and again");
    let (step, printed) = runner.run().expect_err("somebody's commit");
    assert_eq!(
        (step.as_str(), printed.contains("somebody committed to meu/outputs")),
        ("Deliver", true),
        "{printed}"
    );

    // A cap that nothing fits under makes nothing, and is an error of its own.
    runner.values.insert("inputs.max-cost", "0.01".into());
    let (step, printed) = runner.run().expect_err("no price");
    assert_eq!(step, "Build");
    assert!(printed.contains("--max-cost needs a price"), "{printed}");
}

#[test]
fn the_workflows_use_the_action_as_it_is() {
    let inputs = own(".github/actions/meu/action.yml")["inputs"].clone();
    for path in ["examples/ci/meu.yml", "examples/ci/shards.yml"] {
        let workflow = own(path);
        for (_, job) in workflow["jobs"].as_object().expect("jobs") {
            for step in job["steps"].as_array().expect("steps") {
                if !step["uses"].as_str().is_some_and(|uses| uses.contains("/actions/meu@")) {
                    continue;
                }
                for (input, _) in step["with"].as_object().expect("with") {
                    assert!(inputs.get(input).is_some(), "{path}: {input}");
                }
            }
        }
    }
    // What the shards' workflow runs, run: two of its jobs one after the other, then the last.
    let workflow = own("examples/ci/shards.yml");
    let script = |job: &str| -> String {
        let steps = workflow["jobs"][job]["steps"].as_array().expect("steps");
        let run = steps.iter().filter_map(|step| step["run"].as_str()).find(|run| run.starts_with("meu run"));
        let run = run.expect("a run");
        run.split(" || ").next().unwrap_or(run).to_owned()
    };
    let house = House::empty()
        .file("meu.toml", "[providers.offline]\napi = \"offline\"\nprice = { input = 0.0, output = 0.0 }\n");
    let house = house
        .file("tasks/a.toml", "prompt = \"x\"\n")
        .file("tasks/b.toml", "prompt = \"y\"\nrequires = [\"a\"]\n");
    let shared = house.home().join("answers");
    let run = |script: String| {
        let words: Vec<String> =
            script.split_whitespace().skip(1).map(|word| word.trim_matches('"').to_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _ = std::fs::remove_dir_all(house.root().join(".meu"));
        let _ = std::fs::remove_dir_all(house.root().join("out"));
        let _ = std::fs::remove_file(house.root().join("meu.lock"));
        said(house.command(&words).env("MEU_CACHE_DIR", &shared).output().expect("meu starts"))
    };
    assert_eq!(run(script("whole")).code, 1, "nobody answered yet");
    for nth in ["1", "2"] {
        run(script("shard").replace("${{ matrix.shard }}", nth)).ok();
    }
    run(script("whole")).ok();
    assert!(files(&house.root()).contains_key("out/b.md"));
}

/// Ends the process at its first attempt to start another one or to open a connection. Threads may be started.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn forbid_processes_and_connections() {
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter,
    };
    let thread = u64::try_from(libc::CLONE_THREAD).expect("a flag");
    let no_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), 0);
    let no_thread = SeccompRule::new(vec![no_thread.expect("a condition")]).expect("a rule");
    let forbidden = [libc::SYS_socket, libc::SYS_connect, libc::SYS_fork, libc::SYS_vfork, libc::SYS_ptrace];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        forbidden.into_iter().map(|number| (number, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![no_thread]);
    // Its flags cannot be looked at; who is told that there is no such call takes the older one.
    let newer = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let missing = u32::try_from(libc::ENOSYS).expect("a number");
    for (rules, action) in [(newer, SeccompAction::Errno(missing)), (rules, SeccompAction::KillProcess)] {
        let arch = std::env::consts::ARCH.try_into().expect("an architecture");
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).expect("a filter");
        let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
        apply_filter(&program).expect("a sandbox");
    }
}

/// What a fork sends may name programs, servers and keys: a check looks at none of them.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_check_starts_no_program_and_opens_no_connection() {
    use std::os::unix::process::CommandExt;
    // In the sandbox this very test is what becomes meu.
    if let Some(arguments) = std::env::var_os("IN_SANDBOX") {
        forbid_processes_and_connections();
        let arguments = arguments.into_string().expect("words");
        let error = Command::new(env!("CARGO_BIN_EXE_meu")).args(arguments.split(' ')).exec();
        panic!("{error}");
    }
    let house = plan()
        .file("tasks/p.toml", "prompt = \"x\"\nrun = [\"sh\", \"-c\", \"touch ran; cat\"]\n")
        .file(
            "tasks/e.toml",
            "title = \"e\"\nprompt = \"x\"\n[expect]\ncommand = [\"sh\", \"-c\", \"touch judged\"]\n",
        )
        .file("tasks/w.toml", "prompt = \"x\"\nrun = \"manual\"\n")
        .file("tasks/o.toml", "prompt = \"x\"\napproval = true\n");
    let config = house.read("meu.toml");
    house.meu(&["run", "-k"]);
    let _ = house.root().join("ran").exists().then(|| house.remove("ran"));
    let _ = house.root().join("judged").exists().then(|| house.remove("judged"));
    house.put(
        "meu.toml",
        format!(
            "{config}[providers.far]\napi = \"openai\"\nbase_url = \"https://example.org/v1\"\nmodel = \"m\"\n\
             key_command = [\"sh\", \"-c\", \"touch keyed\"]\n[telemetry]\notlp = \"https://example.org\"\n"
        ),
    );
    house.task_put("far", "[model]\nprovider = \"far\"");
    house.put("out/a2.md", "edited by a person\n");
    house.remove("out/b1.md");
    committed(&house);
    let clone = house.home().join("clone");
    house.git(&["clone", "-q", ".", clone.to_str().expect("a path")]);
    let in_sandbox = |arguments: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        let name = "ci::a_check_starts_no_program_and_opens_no_connection";
        command.args(["--exact", name, "--nocapture", "--quiet"]).current_dir(&clone).env_clear();
        command.env("IN_SANDBOX", arguments).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", house.home()).env("MEU_TRUST", "1").env("GITHUB_ACTIONS", "true");
        said(command.output().expect("a test starts"))
    };
    let check = in_sandbox("status --check");
    assert_eq!(check.code, 3, "{}{}", check.out, check.err);
    for line in
        ["::error file=out/b1.md,title=b1 is missing::", "::error file=out/far.md,title=far is missing::"]
    {
        assert!(check.out.contains(line), "{}", check.out);
    }
    assert!(!check.out.contains("title=a1 "), "what is fresh is not told: {}", check.out);
    let text = files(&clone);
    assert!(!["ran", "judged", "keyed"].iter().any(|name| text.contains_key(*name)));
    // The sandbox is one: git is a program, and so is a task's.
    for arguments in ["report --since HEAD", "run p --force p"] {
        let died = in_sandbox(arguments);
        assert_eq!(died.code, -1, "{arguments}: {}{}", died.out, died.err);
    }
}

/// The licences that meu's own allows beside it.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether a licence expression can be kept to: `OR` leaves a choice, `AND` and `/` as older ones write it.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let all =
        |part: &str| part.split(" AND ").all(|one| LICENCES.contains(&one.trim().trim_matches(['(', ')'])));
    match expression.split_once(") AND (") {
        Some((one, other)) => allowed(one) && allowed(other),
        None if expression.contains(") AND ") => expression.split(" AND ").all(allowed),
        None => expression.split(" OR ").any(all),
    }
}

#[test]
fn every_dependency_has_a_licence_that_can_be_kept_to() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Of this platform alone: those of others are not here.
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc starts");
    let rustc = String::from_utf8(rustc.stdout).expect("text");
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("a platform");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--locked",
            "--all-features",
            "--filter-platform",
            host,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "{}", packages.len());
    let bad: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert_eq!(bad, [""; 0]);
    assert!(!allowed("GPL-3.0-only") && !allowed("MIT AND GPL-3.0-only") && allowed("GPL-3.0-only OR MIT"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0") && !allowed("(MIT OR X) AND Y"));
}
