//! Paths inside the project: relative, with `/`, in Unicode normal form C.
//!
//! A [`RelPath`] cannot leave the project by its own text. Whether a symlink on disk leads out is
//! room `disk`'s to find out.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// A path from the project's folder. Never empty, never absolute, without `.` and `..` parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

/// Why a text is no path inside the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathProblem {
    /// Nothing is left of it.
    Empty,
    /// It begins at the file system's root or at a drive.
    Absolute,
    /// It has a `..` part.
    Parent,
    /// It has a backslash or a control character.
    Character,
    /// A part is a name that Windows reserves, or ends in a dot or a space.
    Reserved,
}

impl PathProblem {
    /// The problem in words.
    pub fn message(self) -> &'static str {
        match self {
            PathProblem::Empty => "the path is empty",
            PathProblem::Absolute => "the path is absolute; paths start at the project's folder",
            PathProblem::Parent => "the path leaves the project with `..`",
            PathProblem::Character => "the path has a backslash or a control character; use `/`",
            PathProblem::Reserved => {
                "the path has a name that Windows reserves, or a part that ends in a dot or space"
            }
        }
    }
}

impl RelPath {
    /// Reads a path; `./` and doubled slashes are dropped.
    pub fn parse(text: &str) -> Result<Self, PathProblem> {
        if text.starts_with('/') || text.as_bytes().get(1) == Some(&b':') {
            return Err(PathProblem::Absolute);
        }
        if text.chars().any(|c| c == '\\' || c.is_control()) {
            return Err(PathProblem::Character);
        }
        let mut parts = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(PathProblem::Parent),
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(PathProblem::Empty);
        }
        Ok(RelPath(nfc(&parts.join("/"))))
    }

    /// Reads a path that meu will write: no part may be a name that some system reserves.
    pub fn parse_writable(text: &str) -> Result<Self, PathProblem> {
        let path = RelPath::parse(text)?;
        if path.0.split('/').any(is_reserved) {
            return Err(PathProblem::Reserved);
        }
        Ok(path)
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// All parts but the last; empty at the top.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether it is `folder` or lies below it.
    pub fn is_in(&self, folder: &str) -> bool {
        self.0 == folder || (self.0.starts_with(folder) && self.0.as_bytes().get(folder.len()) == Some(&b'/'))
    }

    /// A form in which two paths are alike if a file system that ignores case takes them for one.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// The path without its extension.
    pub fn stem(&self) -> &str {
        let name_at = self.0.len() - self.name().len();
        let dot = self.0[name_at..].rfind('.').filter(|at| *at > 0);
        &self.0[..dot.map_or(self.0.len(), |dot| name_at + dot)]
    }

    /// The places of answers that could not be merged, in the order in which they are taken: `a/b.new.md`, then
    /// `a/b.new.2.md` up to 99.
    pub fn new_answers(&self) -> impl Iterator<Item = RelPath> {
        let (stem, extension) = self.0.split_at(self.stem().len());
        (1..100).map(move |number| match number {
            1 => RelPath(format!("{stem}.new{extension}")),
            number => RelPath(format!("{stem}.new.{number}{extension}")),
        })
    }

    /// Whether it is the place of an answer that could not be merged: `*.new.*`.
    pub fn is_new_answer(&self) -> bool {
        is_new_name(self.name())
    }
}

/// Whether a name is that of an answer that could not be merged, or would be with an ending: `*.new.*`, `*.new`.
pub fn is_new_name(name: &str) -> bool {
    name.ends_with(".new") || name.contains(".new.")
}

/// The way from the folder of a path, or of an id, to the top: `../` for each folder.
pub fn to_top(path: &str) -> String {
    "../".repeat(path.matches('/').count())
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Unicode normal form C, without work for ASCII.
pub fn nfc(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { text.nfc().collect() }
}

/// Whether Windows would not store a file of this name.
pub fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
    let device = match stem.as_str() {
        "con" | "prn" | "aux" | "nul" => true,
        _ => {
            (stem.starts_with("com") || stem.starts_with("lpt"))
                && stem.len() == 4
                && stem.ends_with(|c: char| c.is_ascii_digit() && c != '0')
        }
    };
    device || part.ends_with(['.', ' ']) || part.contains(['<', '>', ':', '"', '|', '?', '*'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, PathProblem>) {
        assert_eq!(RelPath::parse(text).as_ref().map(RelPath::as_str), expected.as_ref().copied());
    }

    #[test]
    fn paths_stay_inside() {
        check("a/./b//c.md", Ok("a/b/c.md"));
        check("/etc/passwd", Err(PathProblem::Absolute));
        check("C:/x", Err(PathProblem::Absolute));
        check("a/../../x", Err(PathProblem::Parent));
        check("./", Err(PathProblem::Empty));
        check("a\\b", Err(PathProblem::Character));
    }

    #[test]
    fn decomposed_names_are_composed() {
        check("e\u{301}.md", Ok("\u{e9}.md"));
    }

    #[test]
    fn reserved_names_are_not_written() {
        for bad in ["out/con.md", "NUL", "a./b", "lpt1.txt", "a b /c", "x?.md"] {
            assert_eq!(RelPath::parse_writable(bad), Err(PathProblem::Reserved), "{bad}");
        }
        for good in ["out/console.md", "com10.md", "a.b/c"] {
            assert!(RelPath::parse_writable(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn answers_beside_an_output_are_named_before_its_extension() {
        for (output, first, third) in [
            ("out/a.md", "out/a.new.md", "out/a.new.3.md"),
            ("out.d/a", "out.d/a.new", "out.d/a.new.3"),
            (".x", ".x.new", ".x.new.3"),
        ] {
            let output = RelPath::parse(output).expect("a path");
            let names: Vec<RelPath> = output.new_answers().collect();
            assert_eq!((names.len(), names[0].as_str(), names[2].as_str()), (99, first, third));
            assert!(names.iter().all(RelPath::is_new_answer));
        }
    }
}
