//! Rules about the text of tracked files.

use anyhow::Result;
use mainstay_tidy::tree::{self, Source};

/// Lines of a source before its unit tests, with their numbers; comments are left out.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line))
}

/// Fails with every place where one of the words stands in the code of a file that `applies`.
fn forbid(words: &[&str], why: &str, applies: impl Fn(&str) -> bool) -> Result<()> {
    let mut places = Vec::new();
    for source in tree::sources(".rs")?
        .iter()
        .filter(|source| applies(&source.path))
    {
        for (number, line) in code(source) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                places.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    assert!(places.is_empty(), "{why}:\n{}", places.join("\n"));
    Ok(())
}

fn is_in_store(path: &str) -> bool {
    path.starts_with("store/") && path.contains("/src/")
}

#[test]
fn only_api_and_client_know_grpc_codes_and_error_texts() -> Result<()> {
    let words = ["tonic::Code", "Code::", "tonic::Status", "\"etcdserver: "];
    // The two sides of the wire.
    let know = ["store/api/", "store/client/"];
    forbid(
        &words,
        "only store/api and store/client know gRPC codes and etcd's error texts",
        |path| is_in_store(path) && !know.iter().any(|room| path.starts_with(room)),
    )
}

#[test]
fn state_reads_no_clock_environment_or_chance() -> Result<()> {
    let words = [
        "SystemTime",
        "Instant::now",
        "std::env",
        "env::var",
        "rand::",
        "thread_rng",
    ];
    forbid(
        &words,
        "all members decide alike, so time and ids arrive in the entry",
        |path| {
            let rooms = [
                "store/apply/src/",
                "store/lease/src/",
                "store/auth/src/",
                "store/mvcc/src/",
            ];
            rooms.iter().any(|room| path.starts_with(room))
        },
    )
}

#[test]
fn nothing_is_silenced_or_missing() -> Result<()> {
    // Written in two parts, so that this file does not find itself.
    let words = [
        concat!("#[ign", "ore"),
        concat!("tod", "o!("),
        concat!("unimplem", "ented!("),
    ];
    let mut places = Vec::new();
    for source in tree::sources(".rs")? {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                places.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    assert!(
        places.is_empty(),
        "a test runs or goes, a function works or goes:\n{places:#?}"
    );
    Ok(())
}

#[test]
fn every_crate_says_what_it_is_for() -> Result<()> {
    for source in tree::sources(".rs")? {
        let is_root = ["src/lib.rs", "src/main.rs"]
            .iter()
            .any(|end| source.path.ends_with(end));
        if is_root {
            assert!(
                source.text.starts_with("//! "),
                "{} has no `//!` header",
                source.path
            );
        }
    }
    Ok(())
}

#[test]
fn modules_are_named_after_their_noun() -> Result<()> {
    for source in tree::sources(".rs")? {
        assert!(
            !source.path.ends_with("/mod.rs"),
            "{}: name the file",
            source.path
        );
    }
    Ok(())
}

#[test]
fn no_path_of_a_machine() -> Result<()> {
    // In two parts for the same reason as above.
    let roots = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
    ];
    let mut places = Vec::new();
    for ending in [
        ".rs", ".md", ".toml", ".mod", ".sh", ".proto", ".yaml", ".yml", "run",
    ] {
        for source in tree::sources(ending)? {
            for (number, line) in source.text.lines().enumerate() {
                if roots.iter().any(|root| holds_path(line, root)) {
                    places.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    assert!(places.is_empty(), "paths of a machine:\n{places:#?}");
    Ok(())
}

/// True if the line holds an absolute path below `root`, not a relative one that ends alike.
fn holds_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "./_-}".contains(c))
    })
}
