//! A hermetic project in a temporary folder, driven through the real command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A model that is a shell script: it notes the title of each task that asks, and answers with what
/// `answers/TITLE` holds, or with the prompt's last line.
const MODEL: &str = r##"
request=$(cat)
title=$(printf '%s\n' "$request" | sed -n 's/^# Task: //p' | tail -n 1)
printf '%s\n' "$title" >> "$HOME/asked"
[ ! -f "$HOME/hook" ] || . "$HOME/hook"
if [ -f "answers/$title" ]; then cat "answers/$title"; else printf '%s\n' "$request" | grep -v '^$' | tail -n 1; fi
"##;

const CONFIG: &str = r#"
[project]
name = "test"
[model]
provider = "script"
[context]
tokenizer = "chars"
budget = 20000
item_max = 8000
[providers.script]
api = "command"
command = ["sh", ".model.sh"]
"#;

/// A project under test.
pub struct House {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// A folder for a test's files; in memory where the system has such a place.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

impl House {
    /// A project without tasks whose model is the script above.
    pub fn new() -> Self {
        House::empty().file("meu.toml", CONFIG).file(".model.sh", MODEL)
    }

    /// A folder without a project.
    pub fn empty() -> Self {
        let folder = folder();
        fs::create_dir_all(folder.path().join("home")).expect("a home");
        fs::create_dir_all(folder.path().join("project")).expect("a project");
        House { folder, env: BTreeMap::from([("MEU_TRUST".into(), "1".into())]) }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file.
    pub fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.put(path, text);
        self
    }

    /// Writes a task that the model answers with one line.
    pub fn task(self, id: &str, keys: &str) -> Self {
        let title = id.replace('/', "-");
        self.file(
            &format!("tasks/{id}.toml"),
            format!("title = \"{title}\"\nprompt = \"answer of {title}\"\n{keys}"),
        )
    }

    /// Writes a task as [`House::task`] does, in place.
    pub fn task_put(&self, id: &str, keys: &str) {
        self.put(
            &format!("tasks/{id}.toml"),
            format!("title = \"{id}\"\nprompt = \"answer of {id}\"\n{keys}"),
        );
    }

    pub fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let full = self.root().join(path);
        fs::create_dir_all(full.parent().expect("a folder")).expect("folders");
        fs::write(full, text).expect("a file");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.root().join(path).exists()
    }

    pub fn remove(&self, path: &str) {
        let full = self.root().join(path);
        if full.is_dir() { fs::remove_dir_all(full) } else { fs::remove_file(full) }.expect("removed");
    }

    /// The script's answer to a task of this title from now on.
    pub fn answers(&self, title: &str, text: &str) {
        self.put(&format!("answers/{title}"), text);
    }

    /// Shell words that the model runs before it answers.
    pub fn hook(&self, script: &str) {
        fs::write(self.home().join("hook"), script).expect("a hook");
    }

    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn without_env(&mut self, name: &str) -> &mut Self {
        self.env.remove(name);
        self
    }

    /// A command of meu, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meu"));
        command.args(arguments).current_dir(self.root()).env_clear();
        command.env("HOME", self.home()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").envs(&self.env);
        command
    }

    /// Runs meu.
    pub fn meu(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("meu starts");
        said(output)
    }

    /// Runs git in the project, with a fixed author.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .current_dir(self.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The titles that asked the model since the last call, in order.
    pub fn asked(&self) -> Vec<String> {
        let path = self.home().join("asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// Runs everything and checks who was asked, in order.
    pub fn run_asks(&self, expected: &[&str]) -> Said {
        self.asked();
        let said = self.meu(&["run", "-j1"]).ok();
        assert_eq!(self.asked(), expected, "{}{}", said.out, said.err);
        said
    }

    /// The state of a task.
    pub fn state(&self, id: &str) -> String {
        let json = self.meu(&["status", "--json"]).json();
        let tasks = json["tasks"].as_array().expect("tasks");
        let task = tasks.iter().find(|task| task["id"] == id).unwrap_or_else(|| panic!("no task {id}"));
        task["state"].as_str().expect("a state").to_owned()
    }

    /// Every file outside `.meu/` with its bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.root())
    }
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every file of a project outside `.meu/` and `.git/`, with its bytes.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
            if name == ".meu" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                todo.push(path);
            } else {
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
