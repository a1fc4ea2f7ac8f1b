//! Trust: programs that a project wants to run, and keys that it wants to send, once allowed by the
//! person. What was allowed is kept outside the project, by content.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diag::{Diagnostic, Error};
use crate::digest::{Digest, Framer};
use crate::graph::{Graph, Ix};
use crate::spec::{Provider, ProviderApi, Runner, Telemetry};

use super::{Store, repository};

/// So much of what needs a yes is told in a refusal.
const TOLD: usize = 20;

/// No path that the system takes is longer, in bytes.
const LONGEST_PATH: usize = 4096;

/// What needs a yes.
#[derive(Clone, Debug)]
pub struct Trust {
    /// In words, with the digest of what is meant.
    wants: Vec<(String, Digest)>,
    /// Command lines among it, each with the digest of what it means and the words that want it.
    argvs: HashMap<Vec<String>, (Digest, Vec<String>)>,
    store: Arc<Store>,
}

/// Whether the environment says that everything is trusted, as CI does.
pub fn trust_everything() -> bool {
    super::variable("MEU_TRUST").is_some_and(|value| value == "1")
}

impl Trust {
    fn nothing(store: &Arc<Store>) -> Self {
        Trust { wants: Vec::new(), argvs: HashMap::new(), store: store.clone() }
    }

    /// What these tasks would run or send.
    pub fn wanted(graph: &Graph, tasks: impl IntoIterator<Item = Ix>, store: &Arc<Store>) -> Self {
        let mut trust = Trust::nothing(store);
        for ix in tasks {
            trust.want_judges(graph, ix);
            let node = graph.node(ix);
            if let Runner::Program(argv) = &node.task.run {
                trust.want_program(format!("task {} runs {}", node.id(), shown(argv)), argv);
            }
            let asked = (node.task.run == Runner::Model).then(|| graph.providers(ix)).into_iter().flatten();
            asked.chain(graph.embedder(ix)).for_each(|provider| trust.want_provider(provider));
        }
        trust.sorted()
    }

    /// What these tasks run to have outputs judged, also those that nobody is asked for.
    pub fn judges(graph: &Graph, tasks: impl IntoIterator<Item = Ix>, store: &Arc<Store>) -> Self {
        let mut trust = Trust::nothing(store);
        tasks.into_iter().for_each(|ix| trust.want_judges(graph, ix));
        trust.sorted()
    }

    /// What asking one provider would run and send.
    pub fn of_provider(provider: &Provider, store: &Arc<Store>) -> Self {
        Trust::of_providers([provider], store)
    }

    /// What asking some providers would run and send.
    pub fn of_providers<'p>(providers: impl IntoIterator<Item = &'p Provider>, store: &Arc<Store>) -> Self {
        let mut trust = Trust::nothing(store);
        providers.into_iter().for_each(|provider| trust.want_provider(provider));
        trust.sorted()
    }

    /// What the whole project would run or send: all its programs, all its providers.
    pub fn whole(graph: &Graph, store: &Arc<Store>) -> Self {
        let mut trust = Trust::wanted(graph, graph.nodes().map(|(ix, _)| ix), store);
        graph.config.providers.values().for_each(|provider| trust.want_provider(provider));
        trust.want_telemetry(&graph.config.telemetry);
        trust.sorted()
    }

    /// What sending traces of runs would send.
    pub fn of_telemetry(telemetry: &Telemetry, store: &Arc<Store>) -> Self {
        let mut trust = Trust::nothing(store);
        trust.want_telemetry(telemetry);
        trust
    }

    fn want_telemetry(&mut self, telemetry: &Telemetry) {
        if let Some(url) = telemetry.leaves_for() {
            let what = if telemetry.contents {
                "traces of runs, with requests and answers,"
            } else {
                "traces of runs"
            };
            let line = format!("telemetry sends {what} to {url}");
            self.wants.push((line.clone(), Digest::of(&line)));
        }
    }

    fn want_program(&mut self, line: String, argv: &[String]) {
        // Many tasks may run one program: its files are looked at once.
        let known = self.argvs.entry(argv.to_vec());
        let (content, lines) = known.or_insert_with(|| (content(argv, &self.store), Vec::new()));
        self.wants.push((line.clone(), *content));
        lines.push(line);
    }

    fn want_judges(&mut self, graph: &Graph, ix: Ix) {
        let node = graph.node(ix);
        if let Some(expect) = node.task.expect.as_ref().filter(|expect| !expect.command.is_empty()) {
            let line = format!("task {} has its output judged by {}", node.id(), shown(&expect.command));
            self.want_program(line, &expect.command);
        }
    }

    fn want_provider(&mut self, provider: &Provider) {
        if provider.api == ProviderApi::Command {
            let argv = &provider.command;
            self.want_program(format!("provider {} runs {}", provider.name, shown(argv)), argv);
        }
        if !provider.api.is_http() {
            return;
        }
        let argv = &provider.key_command;
        let key = if argv.is_empty() {
            format!("the key in {} if it is set", provider.api_key_env)
        } else {
            self.want_program(format!("provider {} takes its key from {}", provider.name, shown(argv)), argv);
            format!("the key that {} prints", shown(argv))
        };
        if !provider.is_usual() {
            let line =
                format!("provider {} sends requests, and {key}, to {}", provider.name, provider.base_url);
            let digest = Digest::of(&line);
            self.wants.push((line, digest));
        }
    }

    fn sorted(mut self) -> Self {
        self.wants.sort();
        self.wants.dedup();
        self
    }

    /// The command lines among it that the person said yes to, to be looked at again before they run.
    pub fn permits(&self) -> Permits {
        let missing = self.missing().wants;
        let missing: HashSet<&str> = missing.iter().map(|(line, _)| line.as_str()).collect();
        let is_given = |line: &String| !missing.contains(line.as_str());
        let known = self.argvs.iter().filter(|(_, (_, lines))| lines.iter().any(is_given));
        let known = known.map(|(argv, (content, _))| (argv.clone(), *content)).collect();
        Permits { known, store: self.store.clone() }
    }

    /// What is wanted, a line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.wants.iter().map(|(line, _)| line.as_str())
    }

    /// What the person has not said yes to as it is now.
    pub fn missing(&self) -> Trust {
        if self.wants.is_empty() || trust_everything() {
            return Trust::nothing(&self.store);
        }
        let text = file(&self.store).and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let given: HashSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        let missing = self.wants.iter().filter(|want| !given.contains(self.key(want).to_string().as_str()));
        Trust { wants: missing.cloned().collect(), ..Trust::nothing(&self.store) }
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// Keeps the yes to all of it.
    pub fn give(&self) -> Result<PathBuf, Error> {
        let path = file(&self.store).ok_or_else(|| {
            Error::failed("neither XDG_CONFIG_HOME nor HOME names a folder outside the project to keep it in")
        })?;
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            use std::io::Write;
            let mut file = fs::File::options().append(true).create(true).open(&path)?;
            let folder = self.store.root().display().to_string().replace(char::is_control, " ");
            // A line that a person ended without a newline must not swallow the first one.
            let known = fs::read(&path)?;
            let gap = if known.is_empty() || known.ends_with(b"\n") { "" } else { "\n" };
            let lines: String =
                self.wants.iter().map(|want| format!("{} {folder}\n", self.key(want))).collect();
            file.write_all(format!("{gap}{lines}").as_bytes())
        };
        write().map_err(|error| Error::failed(format!("{} cannot be written: {error}", path.display())))?;
        Ok(path)
    }

    /// What a yes to one line is kept as: a yes for this project's folder, as it is meant now.
    fn key(&self, (line, content): &(String, Digest)) -> Digest {
        let folder = self.store.root().to_string_lossy();
        Framer::new("meu trust v2").field(folder.as_bytes()).field(line).field(content.as_bytes()).finish()
    }

    /// The refusal.
    pub fn refused(&self) -> Error {
        let mut error = Error::invalid("this project wants what you have not allowed yet");
        error.diagnostics.extend(self.lines().take(TOLD).map(Diagnostic::error));
        if let Some(more @ 1..) = self.wants.len().checked_sub(TOLD) {
            let more = format!("and {more} more like these, which `meu trust --show` lists");
            error.diagnostics.push(Diagnostic::error(more));
        }
        if let Some(last) = error.diagnostics.last_mut() {
            last.help = Some("look at it, then say `meu trust`; in CI set MEU_TRUST=1".into());
        }
        error
    }
}

/// Where it is kept: never inside the project, which would then trust itself.
fn file(store: &Store) -> Option<PathBuf> {
    // What is not absolute says another place in every folder: the XDG Base Directory Specification ignores it.
    let named = |name: &str| super::variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")))?;
    let folder = config.ancestors().find_map(|above| above.canonicalize().ok());
    let is_inside = folder.is_some_and(|folder| folder.starts_with(store.root()));
    (!is_inside).then(|| config.join("meu").join("trust"))
}

fn shown(argv: &[String]) -> String {
    format!("{argv:?}")
}

/// A command line with the contents of the project's files that its arguments name, as a whole or in part.
fn content(argv: &[String], store: &Store) -> Digest {
    let mut framer = Framer::new("meu argv v3");
    // What came with the project is what its repository holds.
    let top = repository(store.root()).unwrap_or(store.root());
    let bases = places_of_names(store.root(), top);
    for argument in argv {
        framer.field(argument);
        let mut files: Vec<PathBuf> = Vec::new();
        let words = names_in(argument);
        for place in bases.iter().flat_map(|base| words.iter().map(|word| base.join(word))) {
            // Most words are no file's name, and what leads nowhere is none.
            if !place.exists() {
                continue;
            }
            let Ok(real) = place.canonicalize() else { continue };
            if real.starts_with(top) && real.is_file() {
                files.push(real);
            } else if place.starts_with(top) && real != place {
                // What it leads to, by itself or by a folder above it, is a part of it.
                framer.field(real.to_string_lossy().as_bytes());
            }
        }
        files.sort();
        files.dedup();
        framer.count(files.len());
        for file in files {
            framer.field(file.strip_prefix(store.root()).unwrap_or(&file).to_string_lossy().as_bytes());
            framer.maybe(fs::read(&file).ok());
        }
    }
    framer.finish()
}

/// What may be a file's name in an argument, which may be a line for a shell.
fn names_in(argument: &str) -> BTreeSet<String> {
    // Escaped blanks part no words.
    const BLANK: &str = "\0";
    let bare = argument.replace("\\ ", BLANK).replace('\\', "");
    let unquoted = bare.replace(['"', '\''], "");
    let mut names = BTreeSet::new();
    for text in [argument, &bare, &unquoted] {
        // What parts words in one place is a part of a name in another.
        for signs in ["", "\"'", ";|&()<>\"'`", "=;|&()<>\"'`,:$@{}[]#"] {
            let blanks = !matches!(signs, "" | "\"'");
            let cut = |c: char| signs.contains(c) || (blanks && c.is_whitespace());
            for word in text.split(cut) {
                // `-fFILE`, and `$DIR/FILE` whatever the variable holds.
                let glued = word.strip_prefix('-').and_then(|rest| rest.get(1..));
                let below = word.match_indices('/').map(|(at, _)| &word[at + 1..]);
                let found = std::iter::once(word).chain(glued).chain(below);
                let found = found.filter(|name| (1..=LONGEST_PATH).contains(&name.len()));
                names.extend(found.map(|name| name.replace(BLANK, " ")));
            }
        }
    }
    names
}

/// The folders in which a word may name a file of the project: its own, and those of its repository where programs
/// are looked for.
fn places_of_names(root: &Path, top: &Path) -> Vec<PathBuf> {
    let path = super::variable("PATH").unwrap_or_default();
    let searched = std::env::split_paths(&path).filter_map(|folder| {
        let place = root.join(folder);
        let place = if place.starts_with(top) { place } else { place.canonicalize().ok()? };
        (place != *root && place.starts_with(top)).then_some(place)
    });
    std::iter::once(root.to_owned()).chain(searched).collect()
}

/// The command lines that a person said yes to, as they were when that was looked at. Each is looked at again
/// before it is run: a run may write what it is about to start.
#[derive(Clone, Debug)]
pub struct Permits {
    known: HashMap<Vec<String>, Digest>,
    store: Arc<Store>,
}

impl Permits {
    /// Why a command line may not be run, if so.
    pub fn refuse(&self, argv: &[String]) -> Option<String> {
        let known = trust_everything() || self.known.get(argv) == Some(&content(argv, &self.store));
        (!known).then(|| {
            format!("what {} runs is not what you allowed: it, or a file that it names, changed", shown(argv))
        })
    }
}
