//! Links between the pages of this repository lead somewhere.

use anyhow::{Context, Result};
use mainstay_tidy::tree::{self, Source};

#[test]
fn links_of_markdown_resolve() -> Result<()> {
    let root = tree::root()?;
    let mut broken = Vec::new();
    for page in tree::sources(".md")? {
        let path = root.join(&page.path);
        let folder = path.parent().context("a page lies in a folder")?;
        for target in targets(&page) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{} -> {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    Ok(())
}

#[test]
fn anchors_of_markdown_resolve() -> Result<()> {
    let mut broken = Vec::new();
    for page in tree::sources(".md")? {
        let anchors: Vec<String> = headings(&page).map(anchor).collect();
        for target in targets(&page) {
            if let Some(wanted) = target.strip_prefix('#')
                && !anchors.iter().any(|anchor| anchor == wanted)
            {
                broken.push(format!("{} -> {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "broken anchors:\n{}", broken.join("\n"));
    Ok(())
}

/// The relative targets of `[text](target)` outside of code blocks.
fn targets(page: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(page) {
        for (_, rest) in line
            .match_indices("](")
            .map(|(at, _)| line.split_at(at + 2))
        {
            let target = rest.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

fn headings(page: &Source) -> impl Iterator<Item = &str> {
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
}

fn prose(page: &Source) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// As the usual renderers form it: lower case, words joined by dashes, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}
