//! The generated region of INDEX.md, between two markers.

/// The line before the region.
pub const BEGIN: &str = "<!-- meu:contents -->";
/// The line after the region.
pub const END: &str = "<!-- /meu:contents -->";

/// INDEX.md taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The text without the region, as an output: what the root task or a person wrote.
    pub body: String,
    /// What is before the region, with the blank line that separates it.
    pub before: String,
    /// The region, with its markers; empty if there is none. Of several the first.
    pub region: String,
    /// What is after it.
    pub after: String,
}

/// Takes INDEX.md apart. `Err` is the line, from 1, of a marker without its partner.
///
/// Several whole regions are what a merge left: the first gives the place, the others are dropped.
pub fn split_region(text: &str) -> Result<Region, usize> {
    let mut open: Option<(usize, usize)> = None;
    let mut regions: Vec<std::ops::Range<usize>> = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match (line.trim(), open) {
            (BEGIN, None) => open = Some((at, number + 1)),
            (BEGIN, Some(_)) | (END, None) => return Err(number + 1),
            (END, Some((begin, _))) => {
                regions.push(begin..at + line.len());
                open = None;
            }
            _ => {}
        }
        at += line.len();
    }
    if let Some((_, line)) = open {
        return Err(line);
    }
    let Some(first) = regions.first().cloned() else {
        return Ok(Region {
            body: super::output_form(text),
            before: text.to_owned(),
            region: String::new(),
            after: String::new(),
        });
    };
    let before = text[..first.start].to_owned();
    let region = text[first.clone()].to_owned();
    let mut after = String::new();
    let mut from = first.end;
    for other in &regions[1..] {
        after.push_str(&text[from..other.start]);
        from = other.end;
    }
    after.push_str(&text[from..]);
    if regions.len() > 1 && after.trim().is_empty() {
        after.clear();
    }
    let body = match (before.trim_end(), after.trim()) {
        (before, "") => super::output_form(before),
        ("", _) => super::output_form(after.trim_start_matches('\n')),
        (before, _) => super::output_form(&format!("{before}\n\n{}", after.trim_start_matches('\n'))),
    };
    Ok(Region { body, before, region, after })
}

/// INDEX.md with another body; its region stays, at the end. `Err` as [`split_region`].
pub fn with_body(text: &str, body: &str) -> Result<String, usize> {
    let old = split_region(text)?;
    Ok(if old.region.is_empty() { super::output_form(body) } else { join(body, &old.region) })
}

/// INDEX.md with another region (without its markers); its place stays, or is the end.
pub fn with_region(text: &str, contents: &str) -> Result<String, usize> {
    let old = split_region(text)?;
    let region = format!("{BEGIN}\n{}\n{END}\n", contents.trim_end());
    Ok(match old.region.as_str() {
        "" => join(&old.body, &region),
        _ => format!("{}{region}{}", old.before, old.after),
    })
}

fn join(body: &str, region: &str) -> String {
    match body.trim_end() {
        "" => format!("{}\n", region.trim_end()),
        body => format!("{body}\n\n{}\n", region.trim_end()),
    }
}

/// An answer in which no line can be taken for a marker.
pub fn escape_markers(text: &str) -> String {
    if !text.contains("meu:contents") {
        return text.to_owned();
    }
    let escape = |line: &str| -> String {
        match line.trim() {
            BEGIN | END => line.replace("<!--", "&lt;!--"),
            _ => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Result<String, usize> {
        split_region(text).map(|region| region.body)
    }

    #[test]
    fn the_region_is_taken_out() {
        assert_eq!(body(&format!("a\n\n{BEGIN}\n- x\n{END}\n")), Ok("a\n".into()));
        assert_eq!(body(&format!("a\n\n{BEGIN}\n- x\n{END}\n\nb\n")), Ok("a\n\nb\n".into()));
        assert_eq!(body(&format!("{BEGIN}\n{END}\n")), Ok(String::new()));
        assert_eq!(body("a\n"), Ok("a\n".into()));
    }

    #[test]
    fn a_marker_without_a_partner_is_named_by_its_line() {
        assert_eq!(body(&format!("a\n{BEGIN}\n")), Err(2));
        assert_eq!(body(&format!("{END}\n")), Err(1));
        assert_eq!(body(&format!("{BEGIN}\n{BEGIN}\n{END}\n")), Err(2));
        assert_eq!(body(&format!("{BEGIN}\n{END}\n{END}\n")), Err(3));
    }

    #[test]
    fn what_a_merge_left_is_one_region_again() {
        let twice = format!("a\n\n{BEGIN}\n- x\n{END}\n{BEGIN}\n- y\n{END}\n");
        assert_eq!(body(&twice), Ok("a\n".into()));
        assert_eq!(with_region(&twice, "- z"), Ok(format!("a\n\n{BEGIN}\n- z\n{END}\n")));
        assert_eq!(with_body(&twice, "b\n"), Ok(format!("b\n\n{BEGIN}\n- x\n{END}\n")));
    }

    #[test]
    fn a_marker_within_a_line_is_none() {
        let text = format!("up to `{END}` and from `{BEGIN}`\n\n{BEGIN}\n- x\n{END}\n");
        assert_eq!(body(&text), Ok(format!("up to `{END}` and from `{BEGIN}`\n")));
        assert_eq!(with_body(&text, "b\n"), Ok(format!("b\n\n{BEGIN}\n- x\n{END}\n")));
    }

    #[test]
    fn body_and_region_change_apart() {
        let text = format!("a\n\n{BEGIN}\n- x\n{END}\n");
        assert_eq!(with_body(&text, "b\n"), Ok(format!("b\n\n{BEGIN}\n- x\n{END}\n")));
        assert_eq!(with_region(&text, "- y\n"), Ok(format!("a\n\n{BEGIN}\n- y\n{END}\n")));
        assert_eq!(with_region("a\n", "- y"), Ok(format!("a\n\n{BEGIN}\n- y\n{END}\n")));
        assert_eq!(with_region("", "- y"), Ok(format!("{BEGIN}\n- y\n{END}\n")));
        let between = format!("a\n\n{BEGIN}\n- x\n{END}\nend\n");
        assert_eq!(with_region(&between, "- y"), Ok(format!("a\n\n{BEGIN}\n- y\n{END}\nend\n")));
    }

    #[test]
    fn an_answer_cannot_bring_markers() {
        let escaped = escape_markers(&format!("a\n  {END}\nsee meu:contents\n"));
        assert_eq!(escaped, "a\n  &lt;!-- /meu:contents -->\nsee meu:contents\n");
        assert!(split_region(&escaped).is_ok());
    }
}
