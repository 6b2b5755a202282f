//! How long files and functions are.

use crate::tree::Source;

/// A file of more lines is due for a second noun to move out.
pub const FILE_LINES: usize = 500;
/// A function of more lines does more than one thing, or is a table.
pub const FUNCTION_LINES: usize = 70;

/// Something longer than it should be, with its place for people to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsized {
    pub place: String,
    pub lines: usize,
}

/// The file itself, if it is too long.
#[must_use]
pub fn file(source: &Source) -> Option<Outsized> {
    let lines = source.text.lines().count();
    (lines > FILE_LINES).then(|| Outsized {
        place: source.path.clone(),
        lines,
    })
}

/// The functions of a file that are too long.
///
/// It trusts rustfmt: a function ends at the closing brace with the indentation of its `fn`.
#[must_use]
pub fn functions(source: &Source) -> Vec<Outsized> {
    let mut found = Vec::new();
    let mut open: Option<(String, &str, usize)> = None;
    for (number, line) in source.text.lines().enumerate() {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        match &open {
            None => {
                if let Some(name) = name_of_function(body)
                    && !body.ends_with(';')
                    && !body.ends_with('}')
                {
                    open = Some((name.to_owned(), indent, number));
                }
            }
            Some((name, outer, start)) => {
                let ends = *outer == indent && (body == "}" || body.ends_with(';'));
                if ends {
                    let lines = number - start + 1;
                    if lines > FUNCTION_LINES {
                        let place = format!("{}:{} {name}", source.path, start + 1);
                        found.push(Outsized { place, lines });
                    }
                    open = None;
                }
            }
        }
    }
    found
}

/// The name in a line that begins a function.
fn name_of_function(line: &str) -> Option<&str> {
    const BEFORE: [&str; 8] = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
        "extern",
        "\"C\"",
    ];
    let mut rest = line;
    loop {
        let (word, after) = rest.split_once(' ')?;
        if word == "fn" {
            return after.split(['(', '<']).next();
        }
        if !BEFORE.contains(&word) {
            return None;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: String) -> Source {
        Source {
            path: "a.rs".into(),
            text,
        }
    }

    #[test]
    fn a_long_function_is_found() {
        let body = "        let a = 1;\n".repeat(FUNCTION_LINES);
        let text = format!(
            "impl A {{\n    pub async fn long<T>(\n        a: T,\n    ) {{\n{body}    }}\n}}\n"
        );
        let found = functions(&source(text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "a.rs:2 long");
    }

    #[test]
    fn short_ones_and_declarations_are_not() {
        let text = "trait T {\n    fn a();\n    fn b(\n        &self,\n    );\n}\nfn c() {}\n"
            .to_owned()
            + &"// line\n".repeat(100);
        assert_eq!(functions(&source(text)), []);
    }

    #[test]
    fn long_files_are_found() {
        assert!(file(&source("\n".repeat(FILE_LINES))).is_none());
        assert_eq!(
            file(&source("\n".repeat(FILE_LINES + 1))).unwrap().lines,
            FILE_LINES + 1
        );
    }
}
