//! Three texts to one: the last answer, the person's file, the new answer.

/// What a merge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Both sides' words, where they did not collide.
    Clean(String),
    /// The same lines were changed in two ways.
    Conflict,
}

/// Merges line by line. Without a base, texts that differ collide.
pub fn merge(base: Option<&str>, ours: &str, theirs: &str) -> Merged {
    if ours == theirs {
        return Merged::Clean(ours.to_owned());
    }
    match base {
        None => Merged::Conflict,
        Some(base) if base == theirs => Merged::Clean(ours.to_owned()),
        Some(base) if base == ours => Merged::Clean(theirs.to_owned()),
        Some(base) => diffy::merge(base, ours, theirs).map_or(Merged::Conflict, Merged::Clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(base: Option<&str>, ours: &str, theirs: &str, expected: Option<&str>) {
        let expected = expected.map_or(Merged::Conflict, |text| Merged::Clean(text.to_owned()));
        assert_eq!(merge(base, ours, theirs), expected);
    }

    #[test]
    fn both_sides_words_are_kept() {
        check(Some("a\nb\nc\nd\n"), "A\nb\nc\nd\n", "a\nb\nc\nD\n", Some("A\nb\nc\nD\n"));
        check(Some("a\n"), "a\nmine\n", "a\n", Some("a\nmine\n"));
        check(Some("a\n"), "x\n", "y\n", None);
        check(None, "x\n", "y\n", None);
        check(None, "x\n", "x\n", Some("x\n"));
    }
}
