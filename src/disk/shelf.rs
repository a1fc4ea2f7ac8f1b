//! The shelf on disk: texts by path, read once a process and only where the stat cache does not know
//! them.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::context::{Corpus, LARGEST_DOCUMENT, Shelf, Trouble, Unreadable, digest_of_all};
use crate::digest::{Digest, Framer};
use crate::path::RelPath;
use crate::spec::{Embed, TokenizerName};
use crate::text;

use super::stamp::Stat;
use super::state::{Recalled, State};
use super::write::{changed, is_absent};
use super::{Cache, Durability, Store};

/// The most bytes of texts that are kept in memory.
const KEPT: usize = 64 * 1024 * 1024;

/// How many texts are sent at once for their vectors.
const BATCH: usize = 64;

type Found = Result<Option<Digest>, Unreadable>;

/// Documents and outputs of one project, as this process sees them: each path is looked at once.
#[derive(Debug)]
pub struct DiskShelf {
    store: Arc<Store>,
    index: RelPath,
    /// Texts of INDEX.md that a root task made that is gone: no person's words.
    disowned: Vec<Digest>,
    /// What meu writes, folded: never read under another name.
    made: HashSet<String>,
    inner: RefCell<Inner>,
    /// Terms of texts, for searches; read when somebody searches.
    corpus: RefCell<Option<Corpus>>,
    /// Whether they are kept on disk.
    keeps_corpus: Cell<bool>,
    embedder: OnceCell<Embedder>,
    /// Who is told how far the index of searches is.
    on_index: OnceCell<OnIndex>,
    /// Whether every text was still what it was when it was first looked at.
    is_steady: Cell<bool>,
    /// Digests over many texts, by the address of their sorted list; the list is kept, so that the address stays its.
    lists: RefCell<HashMap<usize, (PathList, Digest)>>,
}

type PathList = Arc<Vec<RelPath>>;

/// Whoever makes vectors of texts, given a model.
type Ask = dyn Fn(&Embed, &[String]) -> Result<Vec<Vec<f32>>, Trouble>;

struct Embedder(Box<Ask>);

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedder")
    }
}

struct OnIndex(Box<dyn Fn(usize, usize)>);

impl std::fmt::Debug for OnIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnIndex")
    }
}

#[derive(Debug)]
struct Inner {
    state: State,
    seen: HashMap<RelPath, Found>,
    texts: HashMap<RelPath, Arc<str>>,
    kept: usize,
}

impl DiskShelf {
    /// The shelf of a store whose index document is at `index`.
    ///
    /// `disowned` are texts of it that do not count, since the root task that made them is gone.
    /// `made` are the folded paths of all that meu writes.
    pub fn new(store: Arc<Store>, index: RelPath, disowned: Vec<Digest>, made: HashSet<String>) -> Self {
        let state = State::load(&store);
        DiskShelf::with(state, store, index, disowned, made)
    }

    /// A shelf for a few texts of a project, without what is stored of all; `index` is its index document.
    pub fn apart(store: Arc<Store>, index: RelPath) -> Self {
        DiskShelf::with(State::apart(), store, index, Vec::new(), HashSet::new())
    }

    /// The shelf of a part of a project: `known` are texts that are known to be as they were.
    pub(super) fn of_part(
        store: Arc<Store>,
        index: RelPath,
        made: HashSet<String>,
        known: HashMap<RelPath, Option<Digest>>,
    ) -> Self {
        let shelf = DiskShelf::with(State::apart(), store, index, Vec::new(), made);
        shelf.inner.borrow_mut().seen = known.into_iter().map(|(path, found)| (path, Ok(found))).collect();
        shelf
    }

    fn with(
        state: State,
        store: Arc<Store>,
        index: RelPath,
        disowned: Vec<Digest>,
        made: HashSet<String>,
    ) -> Self {
        DiskShelf {
            store,
            index,
            disowned,
            made,
            inner: RefCell::new(Inner { state, seen: HashMap::new(), texts: HashMap::new(), kept: 0 }),
            corpus: RefCell::default(),
            keeps_corpus: Cell::new(true),
            embedder: OnceCell::new(),
            on_index: OnceCell::new(),
            is_steady: Cell::new(true),
            lists: RefCell::default(),
        }
    }

    /// Lets vectors that are not in the cache be asked for. Without this they are only told to be missing.
    pub fn embed_with(&self, ask: impl Fn(&Embed, &[String]) -> Result<Vec<Vec<f32>>, Trouble> + 'static) {
        // Set once a process: a second one would be the same.
        let _ = self.embedder.set(Embedder(Box::new(ask)));
    }

    /// Has somebody told how far the index of searches is, while it is made: texts that were looked at, and all.
    pub fn tell_of_index(&self, tell: impl Fn(usize, usize) + 'static) {
        let _ = self.on_index.set(OnIndex(Box::new(tell)));
    }

    /// Terms of texts are found anew by each process, and never stored.
    pub fn keep_no_corpus(&self) {
        self.keeps_corpus.set(false);
    }

    /// Takes terms of texts that were not searched out of what is stored, once they are more than the rest: for a
    /// search of all that there is.
    pub fn tidy_corpus(&self) {
        self.corpus().tidy(0);
    }

    /// Keeps what was learned for the next process.
    pub fn save(&self) {
        self.inner.borrow_mut().state.save(&self.store);
        if !self.keeps_corpus.get() {
            return super::corpus::forget(&self.store);
        }
        if let Some(corpus) = self.corpus.borrow_mut().as_mut() {
            super::corpus::save(&self.store, corpus);
        }
    }

    /// Whether every text that was read was still what it was when it was first looked at: else what was found before
    /// and after does not go together.
    pub fn is_steady(&self) -> bool {
        self.is_steady.get()
    }

    /// Every path that this process looked at, with what it found there.
    pub fn seen(&self) -> Vec<(RelPath, Result<Option<Digest>, Unreadable>)> {
        self.inner.borrow().seen.iter().map(|(path, found)| (path.clone(), found.clone())).collect()
    }

    /// Looks at a path again: what this process knew of it is forgotten.
    pub fn look_again(&self, path: &RelPath) {
        self.lists.borrow_mut().retain(|_, (list, _)| list.binary_search(path).is_err());
        let inner = &mut *self.inner.borrow_mut();
        inner.seen.remove(path);
        inner.texts.remove(path);
        // The stat of a file that changed under our hands is not to be believed.
        inner.state.dirty |= inner.state.files.remove(path).is_some();
    }

    /// Writes an output whole, in the place of a text whose digest is `old`; INDEX.md keeps its generated region. What
    /// somebody has changed since stays as it is: an error.
    pub fn write(
        &self,
        path: &RelPath,
        old: Option<Digest>,
        text: &str,
        durability: Durability,
    ) -> std::io::Result<()> {
        let stands = || self.still_has(path, old);
        if *path == self.index {
            let raw = super::read_optional(&self.store.full(path)).map_err(std::io::Error::other)?;
            let new = text::with_body(raw.as_deref().unwrap_or_default(), text)
                .map_err(|line| std::io::Error::other(Unreadable::Markers(line).to_string()))?;
            // The text that counts is a part of the file's.
            if !stands()? {
                return Err(changed());
            }
            self.store.edit(path, raw.as_deref(), &new)?;
        } else {
            self.store.write_by(path, durability, &stands, |file| file.write_all(text.as_bytes()))?;
        }
        self.look_again(path);
        let inner = &mut *self.inner.borrow_mut();
        inner.seen.insert(path.clone(), Ok(Some(Digest::of(text))));
        inner.keep(path, text.into());
        Ok(())
    }

    /// Removes a file whose words are elsewhere. What somebody has changed since it had the digest `old` stays as it is: an
    /// error.
    pub fn remove(&self, path: &RelPath, old: Digest) -> std::io::Result<()> {
        let removed = self.store.remove_by(path, &|| self.still_has(path, Some(old)));
        self.look_again(path);
        removed
    }

    /// Whether a path has a text, or none, now.
    fn still_has(&self, path: &RelPath, digest: Option<Digest>) -> std::io::Result<bool> {
        self.inner.borrow_mut().seen.remove(path);
        let now = self.look(path).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(now == digest)
    }

    /// What came of a task's recipe the last time.
    pub fn recalled(&self, task: &str) -> Option<Recalled> {
        self.inner.borrow().state.requests.get(task).copied()
    }

    /// Remembers what came of a task's recipe.
    pub fn remember(&self, task: &str, recalled: Recalled) {
        let state = &mut self.inner.borrow_mut().state;
        state.dirty |= state.requests.insert(task.to_owned(), recalled) != Some(recalled);
    }

    /// The path's file as it is: `None` if there is none.
    fn read(&self, path: &RelPath) -> Result<Option<(Stat, String)>, Unreadable> {
        let full = self.store.full(path);
        let io = |error: std::io::Error| Unreadable::Io(error.to_string());
        // Looked at before it is opened: opening a pipe waits for somebody to write.
        match fs::metadata(&full) {
            Ok(meta) if !meta.is_file() => return Err(Unreadable::NoFile),
            Ok(_) => {}
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(io(error)),
        }
        let mut file = File::open(&full).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.len() > LARGEST_DOCUMENT {
            return Err(Unreadable::TooLarge(meta.len()));
        }
        self.check_place(path, &full)?;
        let mut bytes = Vec::with_capacity(meta.len() as usize);
        (&mut file).take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes).map_err(io)?;
        let raw = String::from_utf8(bytes).map_err(|error| {
            let utf16 =
                error.as_bytes().starts_with(&[0xff, 0xfe]) || error.as_bytes().starts_with(&[0xfe, 0xff]);
            Unreadable::NotUtf8 { at: error.utf8_error().valid_up_to(), utf16 }
        })?;
        let normal = text::normal(&raw).into_owned();
        let normal = if *path == self.index {
            let body = text::split_region(&normal).map_err(Unreadable::Markers)?.body;
            // An index document with nothing but its region is nobody's text.
            if body.is_empty() {
                return Ok(None);
            }
            body
        } else {
            normal
        };
        Ok(Some((Stat::of(&meta), normal)))
    }

    /// A symlink may not lead out of the project, nor to what is no document under its own name.
    fn check_place(&self, path: &RelPath, full: &Path) -> Result<(), Unreadable> {
        let real = full.canonicalize().map_err(|error| Unreadable::Io(error.to_string()))?;
        let inside = real.strip_prefix(self.store.root()).map_err(|_| Unreadable::Outside)?;
        let own = inside.to_str().and_then(|text| RelPath::parse(text).ok()).ok_or(Unreadable::Outside)?;
        let hidden = own.as_str().split('/').any(|part| part.starts_with('.'));
        let is_made = |path: &RelPath| self.made.contains(&path.folded());
        if own != *path && (hidden || (is_made(&own) && !is_made(path))) {
            return Err(Unreadable::Alias(own.to_string()));
        }
        Ok(())
    }

    /// The digest, from the stat cache if the stat is as recorded.
    fn look(&self, path: &RelPath) -> Found {
        let found = self.look_at(path);
        match found {
            Ok(Some(digest)) if *path == self.index && self.disowned.contains(&digest) => Ok(None),
            found => found,
        }
    }

    fn look_at(&self, path: &RelPath) -> Found {
        if let Some(found) = self.inner.borrow().seen.get(path) {
            return found.clone();
        }
        // INDEX.md is read each time: its digest is that of a part of it.
        let known = self.inner.borrow().state.files.get(path).copied().filter(|_| *path != self.index);
        let found = match known {
            Some((stat, digest))
                if fs::metadata(self.store.full(path)).is_ok_and(|meta| Stat::of(&meta) == stat) =>
            {
                Ok(Some(digest))
            }
            _ => match self.read(path) {
                Ok(Some((stat, text))) => {
                    let digest = Digest::of(&text);
                    let inner = &mut *self.inner.borrow_mut();
                    if *path != self.index {
                        inner.state.keep(path, stat, digest);
                    }
                    inner.keep(path, text.into());
                    Ok(Some(digest))
                }
                Ok(None) => {
                    let state = &mut self.inner.borrow_mut().state;
                    state.dirty |= state.files.remove(path).is_some();
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        };
        self.inner.borrow_mut().seen.insert(path.clone(), found.clone());
        found
    }
}

impl Inner {
    fn keep(&mut self, path: &RelPath, text: Arc<str>) {
        if self.kept + text.len() > KEPT {
            self.texts.clear();
            self.kept = 0;
        }
        self.kept += text.len();
        self.texts.insert(path.clone(), text);
    }
}

impl Shelf for DiskShelf {
    fn digest(&self, path: &RelPath) -> Result<Option<Digest>, Unreadable> {
        self.look(path)
    }

    fn text(&self, path: &RelPath) -> Result<Option<Arc<str>>, Unreadable> {
        let Some(digest) = self.look(path)? else { return Ok(None) };
        if let Some(text) = self.inner.borrow().texts.get(path) {
            return Ok(Some(text.clone()));
        }
        match self.read(path)? {
            Some((_, text)) if Digest::of(&text) == digest => {
                let text: Arc<str> = text.into();
                self.inner.borrow_mut().keep(path, text.clone());
                Ok(Some(text))
            }
            // It changed since this process looked at it: what counts is what it is now.
            _ => {
                self.is_steady.set(false);
                self.look_again(path);
                match self.look(path)? {
                    Some(_) => Ok(self.inner.borrow().texts.get(path).cloned()),
                    None => Ok(None),
                }
            }
        }
    }

    fn digest_of_all(&self, paths: &PathList) -> Digest {
        let address = Arc::as_ptr(paths) as usize;
        if let Some((_, known)) = self.lists.borrow().get(&address) {
            return *known;
        }
        let digest = digest_of_all(self, paths);
        self.lists.borrow_mut().insert(address, (paths.clone(), digest));
        digest
    }

    fn vectors(&self, embed: &Embed, texts: &[String]) -> Result<Vec<Vec<f32>>, Trouble> {
        let cache = Cache(&self.store);
        let key = |text: &String| Framer::new("meu vector v1").field(&embed.model).field(text).finish();
        let mut vectors: Vec<Option<Vec<f32>>> = texts.iter().map(|text| cache.vector(key(text))).collect();
        let missing: Vec<usize> = (0..texts.len()).filter(|at| vectors[*at].is_none()).collect();
        if !missing.is_empty() {
            let Some(Embedder(ask)) = self.embedder.get() else {
                return Err(Trouble::new(
                    format!(
                        "vectors of {} {} by `{}` are not here",
                        missing.len(),
                        if missing.len() == 1 { "text" } else { "texts" },
                        embed.model
                    ),
                    format!("`meu run` asks the provider `{}` for them", embed.provider),
                ));
            };
            // Each batch is kept before the next is asked for: what was paid for is not lost with what fails.
            for batch in missing.chunks(BATCH) {
                if super::interrupted() {
                    return Err(Trouble::new(
                        "interrupted",
                        "the next run goes on with the vectors that are left",
                    ));
                }
                let wanted: Vec<String> = batch.iter().map(|at| texts[*at].clone()).collect();
                for (at, vector) in batch.iter().zip(ask(embed, &wanted)?) {
                    // Without it the vector is asked for again, and nothing else.
                    drop(cache.put_vector(key(&texts[*at]), &vector));
                    vectors[*at] = Some(vector);
                }
            }
        }
        let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
        let length = vectors.first().map_or(0, Vec::len);
        match vectors.len() == texts.len() && vectors.iter().all(|vector| vector.len() == length) {
            true => Ok(vectors),
            false => Err(Trouble::new(
                format!("the vectors of `{}` are not all of one length", embed.model),
                "remove .meu/cache/vectors, and see whether the server changed its model",
            )),
        }
    }

    fn corpus(&self) -> RefMut<'_, Corpus> {
        RefMut::map(self.corpus.borrow_mut(), |corpus| {
            corpus.get_or_insert_with(|| super::corpus::load(&self.store))
        })
    }

    fn indexing(&self, done: usize, all: usize) {
        if let Some(OnIndex(tell)) = self.on_index.get() {
            tell(done, all);
        }
    }

    fn count(&self, tokenizer: TokenizerName, text: &str) -> usize {
        if tokenizer == TokenizerName::Chars || text.len() < 16 {
            return text::count(tokenizer, text);
        }
        let key = (tokenizer, Digest::of(text));
        self.inner.borrow_mut().state.join(&self.store);
        if let Some(count) = self.inner.borrow().state.counts.get(&key) {
            return *count as usize;
        }
        let count = text::count(tokenizer, text);
        let state = &mut self.inner.borrow_mut().state;
        // Counts of texts that are gone pile up; they are cheap to find again.
        if state.counts.len() > 400_000 {
            state.counts.clear();
        }
        state.counts.insert(key, u32::try_from(count).unwrap_or(u32::MAX));
        state.dirty = true;
        count
    }
}
