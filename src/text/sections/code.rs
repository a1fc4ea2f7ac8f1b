//! Blocks of source code: what stands between blank lines and begins without indent.

use super::Heading;

/// The blocks, each under its first line. A closing bracket begins none.
pub(super) fn blocks(text: &str) -> Vec<Heading> {
    let mut found: Vec<Heading> = Vec::new();
    let mut after_blank = true;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let begins = line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '}' | ')' | ']'));
        if after_blank && begins {
            if let Some(last) = found.last_mut() {
                last.section.end = range.start;
            }
            found.push(Heading {
                level: 1,
                text: line.trim().to_owned(),
                section: range.start..text.len(),
                // The first line is part of the block, not a title over it.
                head: range.start..range.start,
                nested: false,
            });
        }
        after_blank = line.trim().is_empty();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_begins_without_indent_after_a_blank_line() {
        let text = "use a;\nuse b;\n\nfn one() {\n    x();\n\n    y();\n}\n\n// Two.\nfn two() {}\n";
        let found: Vec<(String, &str)> =
            blocks(text).into_iter().map(|block| (block.text, &text[block.section])).collect();
        assert_eq!(
            found,
            [
                ("use a;".into(), "use a;\nuse b;\n\n"),
                ("fn one() {".into(), "fn one() {\n    x();\n\n    y();\n}\n\n"),
                ("// Two.".into(), "// Two.\nfn two() {}\n"),
            ]
        );
    }
}
