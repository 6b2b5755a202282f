//! The paired benchmark behind `cargo xtask bench`.
//!
//! Absolute times mean nothing on a shared machine, so etcd and Mainstay are measured in turn,
//! round by round, with the same client (etcd's own `benchmark`), three members each on loopback;
//! what counts are the ratios and their spread. The servers see only etcd's flags and requests:
//! nothing here may know which product it measures. Read next: `rows.rs`, the list of loads; and
//! `library.rs` for `cargo xtask bench client`, which measures our client instead of the server.

mod client;
mod library;
mod reading;
mod report;
mod rows;
mod secure;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places};

use crate::reading::Readings;
use crate::rows::{ROWS, Row, Stage};
use crate::side::{Running, Side};

/// What the arguments ask for.
struct Wish {
    rounds: usize,
    rows: Vec<&'static Row>,
    /// Every load's number of requests is multiplied by this; below 1 for a quick look.
    scale: f64,
    base_port: u16,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        for row in ROWS {
            println!("{:<10} {}", row.name, row.load);
        }
        return Ok(());
    }
    if let [first, rest @ ..] = arguments
        && first == "client"
    {
        interrupt::listen()?;
        return library::run(rest);
    }
    let wish = parse(arguments)?;
    interrupt::listen()?;
    let peers = places::peers()?;
    let program = std::env::var_os("MAINSTAY_BIN").context("MAINSTAY_BIN names no server")?;
    let sides = [
        Side {
            name: "etcd",
            program: peers.join("etcd"),
        },
        Side {
            name: "mainstay",
            program: PathBuf::from(program),
        },
    ];
    let mut all: Vec<[Readings; 2]> = Vec::new();
    for round in 0..wish.rounds {
        let mut readings = [Readings::default(), Readings::default()];
        for stage in [Stage::Small, Stage::Secure, Stage::Million] {
            let rows: Vec<&Row> = wish
                .rows
                .iter()
                .copied()
                .filter(|row| row.stage == stage)
                .collect();
            if rows.is_empty() {
                continue;
            }
            // The one that goes first changes from round to round, so that a machine that
            // becomes slower favours neither.
            for index in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                println!("round {}, {}", round + 1, sides[index].name);
                let running =
                    Running::start(&sides[index], stage, &peers, wish.base_port, wish.scale)?;
                running.measure(stage, &rows, &mut readings[index])?;
            }
        }
        all.push(readings);
    }
    println!("\n{}", report::table(&all, wish.scale));
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Wish> {
    let mut wish = Wish {
        rounds: 3,
        rows: ROWS.iter().collect(),
        scale: 1.0,
        base_port: 24_100,
    };
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else {
            bail!("{} needs a value", pair[0])
        };
        let number = || {
            value
                .parse::<f64>()
                .with_context(|| format!("{flag} takes a number"))
        };
        match flag.as_str() {
            "--rounds" => wish.rounds = value.parse().context("--rounds takes a number")?,
            "--scale" => wish.scale = number()?,
            "--base-port" => wish.base_port = value.parse().context("--base-port takes a port")?,
            "--rows" => {
                let find = |name: &str| {
                    let row = ROWS.iter().find(|row| row.name == name);
                    row.with_context(|| format!("no row is called '{name}'; see --list"))
                };
                wish.rows = value.split(',').map(find).collect::<Result<_>>()?;
            }
            _ => bail!("unknown flag {flag}; there are --rounds, --rows, --scale, --list"),
        }
    }
    if wish.rounds == 0 || wish.scale <= 0.0 {
        bail!("--rounds and --scale must be above zero");
    }
    Ok(wish)
}
