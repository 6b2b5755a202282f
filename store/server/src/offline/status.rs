//! `mainstay snapshot status`: what is in a backup, as etcdutl prints it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use mainstay_snapshot::{Status, status};

use super::restore::open;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The backup.
    file: PathBuf,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Form::Simple)]
    write_out: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Simple,
    Json,
    Table,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let file = open(&arguments.file)?;
    let status = status(file).with_context(|| arguments.file.display().to_string())?;
    match arguments.write_out {
        Form::Simple => println!("{}", cells(&status).join(", ")),
        Form::Json => println!("{}", serde_json::to_string(&status)?),
        Form::Table => print!("{}", table(&HEADS, &cells(&status))),
    }
    Ok(())
}

const HEADS: [&str; 5] = ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"];

fn cells(status: &Status) -> [String; 5] {
    [
        format!("{:x}", status.hash),
        status.revision.to_string(),
        status.total_key.to_string(),
        human(status.total_size),
        status.version.clone(),
    ]
}

/// Bytes in decimal units, with one digit after the point below ten.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match rounded < 10.0 {
        true => format!("{rounded:.1} {name}"),
        false => format!("{rounded:.0} {name}"),
    }
}

/// One row under its heads: heads in the middle, values to the right.
fn table(heads: &[&str; 5], values: &[String; 5]) -> String {
    let columns = || heads.iter().zip(values);
    let widths: Vec<usize> = columns().map(|(h, v)| h.len().max(v.len())).collect();
    let line = |left: &str, middle: &str, right: &str| {
        let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", bars.join(middle))
    };
    let (mut top, mut row) = (Vec::new(), Vec::new());
    for ((head, value), width) in columns().zip(&widths) {
        top.push(format!(" {head:^width$} "));
        row.push(format!(" {value:>width$} "));
    }
    let whole = |cells: &[String]| format!("│{}│\n", cells.join("│"));
    [
        line("┌", "┬", "┐"),
        whole(&top),
        line("├", "┼", "┤"),
        whole(&row),
        line("└", "┴", "┘"),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_etcd() {
        for (bytes, text) in [
            (9, "9 B"),
            (20_480, "20 kB"),
            (999, "999 B"),
            (1_500_000, "1.5 MB"),
            (24_576, "25 kB"),
            (4_096_000_000, "4.1 GB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn the_table_is_etcdutls() {
        let status = Status {
            hash: 0x23aa_7356,
            revision: 4,
            total_key: 1,
            total_size: 20_480,
            version: "3.7.0".into(),
        };
        let expected = "\
┌──────────┬──────────┬────────────┬────────────┬─────────┐
│   HASH   │ REVISION │ TOTAL KEYS │ TOTAL SIZE │ VERSION │
├──────────┼──────────┼────────────┼────────────┼─────────┤
│ 23aa7356 │        4 │          1 │      20 kB │   3.7.0 │
└──────────┴──────────┴────────────┴────────────┴─────────┘
";
        assert_eq!(table(&HEADS, &cells(&status)), expected);
        assert_eq!(cells(&status).join(", "), "23aa7356, 4, 1, 20 kB, 3.7.0");
    }
}
