//! What our client library costs: its calls beside the bare stubs of tonic, and its reflector beside
//! the watch of the `etcd-client` crate. Both contenders of a row ask the same server, in turn.

mod calls;
mod events;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::{places, process};

use crate::report::Spread;
use crate::rows::Stage;
use crate::side::{Running, Side};

const BASE_PORT: u16 = 24_200;

/// What one contender showed: operations, the time they took, and the processor time of this process.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    operations: u64,
    took: Duration,
    spent: Duration,
}

impl Shown {
    fn rate(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64()
    }

    fn micros_each(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.operations as f64
    }
}

/// Measures `work`, which carries out so many operations.
pub async fn measured(operations: u64, work: impl Future<Output = Result<()>>) -> Result<Shown> {
    let own = std::process::id();
    let (since, before) = (Instant::now(), process::cpu_time(own)?);
    work.await?;
    Ok(Shown {
        operations,
        took: since.elapsed(),
        spent: process::cpu_time(own)?.saturating_sub(before),
    })
}

/// A row of the table: the other, then ours, each round.
struct Row {
    name: &'static str,
    others: &'static str,
    rounds: Vec<[Shown; 2]>,
}

/// `client [--rounds N]`.
pub fn run(arguments: &[String]) -> Result<()> {
    let rounds = match arguments {
        [] => 3,
        [flag, count] if flag == "--rounds" => count.parse().context("--rounds takes a number")?,
        _ => bail!("client takes --rounds N"),
    };
    let program = std::env::var_os("MAINSTAY_BIN").context("MAINSTAY_BIN names no server")?;
    let side = Side {
        name: "mainstay",
        program: PathBuf::from(program),
    };
    let running = Running::start(&side, Stage::Small, &places::peers()?, BASE_PORT, 1.0)?;
    let url = format!("http://127.0.0.1:{BASE_PORT}");
    let runtime = tokio::runtime::Runtime::new()?;
    let rows = runtime.block_on(rows(&url, rounds))?;
    running.measure(Stage::Small, &[], &mut crate::reading::Readings::default())?;
    println!("\n{}", table(&rows));
    Ok(())
}

async fn rows(url: &str, rounds: usize) -> Result<Vec<Row>> {
    let row = |name, others| Row {
        name,
        others,
        rounds: Vec::new(),
    };
    let mut puts = row("put of 256 B, 64 at once", "tonic stub");
    let mut gets = row("get of one key, 64 at once", "tonic stub");
    let mut events = row("events of 100,000 keys", "etcd-client watch");
    events::fill(url).await?;
    for round in 0..rounds {
        // Who goes first changes, so that a machine that becomes slower favours neither.
        let ours_first = round % 2 == 1;
        puts.rounds.push(calls::puts(url, ours_first).await?);
        gets.rounds.push(calls::gets(url, ours_first).await?);
        events.rounds.push(events::both(url, ours_first).await?);
        println!("round {} of {rounds} done", round + 1);
    }
    Ok(vec![puts, gets, events])
}

/// Runs both contenders; the answer holds the other's first whoever ran first.
pub async fn in_turn(
    ours_first: bool,
    other: impl Future<Output = Result<Shown>>,
    ours: impl Future<Output = Result<Shown>>,
) -> Result<[Shown; 2]> {
    match ours_first {
        true => {
            let ours = ours.await?;
            Ok([other.await?, ours])
        }
        false => Ok([other.await?, ours.await?]),
    }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| load | quantity | beside | other | ours | ratio (min to max) |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for row in rows {
        for (quantity, unit, of) in [
            ("operations", "/s", Shown::rate as fn(&Shown) -> f64),
            ("client CPU each", "us", Shown::micros_each),
        ] {
            let spread =
                |of: &dyn Fn(&[Shown; 2]) -> f64| Spread::of(row.rounds.iter().map(of).collect());
            let (Some(other), Some(ours), Some(ratio)) = (
                spread(&|pair| of(&pair[0])),
                spread(&|pair| of(&pair[1])),
                spread(&|pair| of(&pair[1]) / of(&pair[0])),
            ) else {
                continue;
            };
            let decimals = if unit == "us" { 1 } else { 0 };
            lines.push(format!(
                "| {} | {quantity} | {} | {:.decimals$} {unit} | {:.decimals$} {unit} | **{:.2}** ({:.2} to {:.2}) |",
                row.name, row.others, other.median, ours.median, ratio.median, ratio.least, ratio.most
            ));
        }
    }
    lines.join("\n")
}
