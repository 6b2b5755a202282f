//! Prints which files and functions have outgrown their size. A report, not a verdict.

use anyhow::Result;
use mainstay_tidy::{sizes, tree};

fn main() -> Result<()> {
    let sources = tree::sources(".rs")?;
    let mut files: Vec<_> = sources.iter().filter_map(sizes::file).collect();
    let mut functions: Vec<_> = sources.iter().flat_map(sizes::functions).collect();
    for (what, limit, list) in [
        ("files", sizes::FILE_LINES, &mut files),
        ("functions", sizes::FUNCTION_LINES, &mut functions),
    ] {
        list.sort_by_key(|outsized| std::cmp::Reverse(outsized.lines));
        println!("{} {what} of more than {limit} lines", list.len());
        for outsized in list {
            println!("  {:>5}  {}", outsized.lines, outsized.place);
        }
    }
    Ok(())
}
