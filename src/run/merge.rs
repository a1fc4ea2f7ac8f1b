//! Three texts to one: the last answer, the person's file, the new answer.

use std::collections::HashMap;

use crate::text::headings;

/// What a merge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Both sides' words, where they did not collide.
    Clean(String),
    /// The same lines were changed in two ways.
    Conflict,
}

/// Merges line by line; where lines collide, section by section. Without a base, texts that differ
/// collide.
pub fn merge(base: Option<&str>, ours: &str, theirs: &str) -> Merged {
    if ours == theirs {
        return Merged::Clean(ours.to_owned());
    }
    match base {
        None => Merged::Conflict,
        Some(base) if base == theirs => Merged::Clean(ours.to_owned()),
        Some(base) if base == ours => Merged::Clean(theirs.to_owned()),
        Some(base) => match diffy::merge(base, ours, theirs) {
            Ok(merged) => Merged::Clean(merged),
            Err(_) => by_sections(base, ours, theirs).map_or(Merged::Conflict, Merged::Clean),
        },
    }
}

/// A text as its sections: each heading's words, numbered where they come twice, with the text up to the
/// next heading.
fn sections(text: &str) -> Vec<(String, &str)> {
    let mut starts: Vec<(String, usize)> = vec![(String::new(), 0)];
    starts.extend(headings(text).into_iter().map(|heading| (heading.text, heading.section.start)));
    let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]).collect::<Vec<_>>();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut sections = Vec::new();
    for ((name, start), end) in starts.into_iter().zip(ends) {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        sections.push((format!("{name} {count}").replace('\n', " "), &text[start..end]));
    }
    sections
}

/// The order of sections is merged as lines, then each section by itself: a reworded paragraph and a
/// section that was added after it do not collide.
fn by_sections(base: &str, ours: &str, theirs: &str) -> Option<String> {
    let [base, ours, theirs] = [base, ours, theirs].map(sections);
    let names = |sections: &[(String, &str)]| {
        sections.iter().map(|(name, _)| format!("{name}\n")).collect::<String>()
    };
    let order = diffy::merge(&names(&base), &names(&ours), &names(&theirs)).ok()?;
    let find = |sections: &[(String, &str)], name: &str| -> Option<String> {
        sections.iter().find(|(known, _)| known == name).map(|(_, text)| (*text).to_owned())
    };
    let mut merged = String::new();
    for name in order.lines() {
        let text = match (find(&base, name), find(&ours, name), find(&theirs, name)) {
            (Some(base), Some(ours), Some(theirs)) if ours.trim_end() == base.trim_end() => theirs,
            (Some(base), Some(ours), Some(theirs)) if theirs.trim_end() == base.trim_end() => ours,
            (_, Some(ours), Some(theirs)) if ours.trim_end() == theirs.trim_end() => ours,
            (Some(base), Some(ours), Some(theirs)) => diffy::merge(&base, &ours, &theirs).ok()?,
            (None, Some(text), None) | (None, None, Some(text)) => text,
            // In the base and one side only: that side kept what the other took out and may have changed it.
            _ => return None,
        };
        if !merged.is_empty() && !merged.ends_with("\n\n") && !text.trim().is_empty() {
            merged.push_str(if merged.ends_with('\n') { "\n" } else { "\n\n" });
        }
        merged.push_str(&text);
    }
    // A section that one side took out is gone only if the other side left it as it was.
    let gone = base.iter().filter(|(name, _)| !order.lines().any(|kept| kept == name));
    for (name, text) in gone {
        let touched =
            |side: &[(String, &str)]| find(side, name).is_some_and(|own| own.trim_end() != text.trim_end());
        if touched(&ours) || touched(&theirs) {
            return None;
        }
    }
    Some(crate::text::output_form(&merged))
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

    #[test]
    fn a_reworded_paragraph_and_an_added_section_do_not_collide() {
        check(
            Some("# A\n\nOld words.\n"),
            "# A\n\nMy words.\n",
            "# A\n\nOld words.\n\n## More\n\nNew section.\n",
            Some("# A\n\nMy words.\n\n## More\n\nNew section.\n"),
        );
        check(
            Some("# A\n\nOld.\n\n## B\n\nOld b.\n"),
            "# A\n\nMine.\n\n## B\n\nOld b.\n",
            "# A\n\nOld.\n\n## New\n\nn\n\n## B\n\nTheirs.\n",
            Some("# A\n\nMine.\n\n## New\n\nn\n\n## B\n\nTheirs.\n"),
        );
    }

    #[test]
    fn a_section_that_one_side_edited_is_not_lost_to_the_others_deletion() {
        check(Some("# A\n\na\n\n## B\n\nb\n"), "# A\n\na\n\n## B\n\nmine\n", "# A\n\na\n", None);
    }

    proptest::proptest! {
        /// Every line that a person added is in a clean merge.
        #[test]
        fn no_line_of_a_person_is_lost(
            base in "(# [ab]\n|[cd] [cd]\n|\n){0,10}",
            theirs in "(# [ab]\n|[cde] [cde]\n|\n){0,10}",
            cut in proptest::sample::subsequence((0..8).collect::<Vec<usize>>(), 0..3),
        ) {
            let mut lines: Vec<String> = base.lines().map(str::to_owned).collect();
            for (number, at) in cut.iter().enumerate() {
                lines.insert((*at).min(lines.len()), format!("mine {number}"));
            }
            let ours = lines.join("\n") + "\n";
            if let Merged::Clean(merged) = merge(Some(&base), &ours, &theirs) {
                for line in ours.lines().filter(|line| line.starts_with("mine")) {
                    proptest::prop_assert!(merged.lines().any(|kept| kept == line), "{line} is lost in {merged:?}");
                }
            }
        }
    }
}
