//! `cargo xtask test`: runs every suite in its short form, each within its time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places, process};

use crate::suites::{Program, SUITES, Step, Suite, WithoutRoot};
use crate::{clients, peers, setup};

/// Lines of a suite's output shown when it passes, and when it does not.
const CLOSING_LINES: usize = 4;
const FAILURE_LINES: usize = 120;

/// What was built beside the workspace while the first suites ran.
struct Beside {
    peers: PathBuf,
    /// The programs of `tests/wire/clients`, where a suite asks for them.
    clients: Option<PathBuf>,
    cargo_deny: PathBuf,
}

/// How a suite ended.
enum Outcome {
    Passed,
    Failed,
    LeftOut,
}

pub fn run(arguments: &[String]) -> Result<()> {
    let chosen = choose(arguments)?;
    interrupt::listen()?;
    setup::check_tools()?;
    let needs_clients = chosen.iter().any(|suite| suite.needs_clients);
    if needs_clients {
        clients::check_tools()?;
    }
    let needs_node = setup::is_root() && chosen.iter().any(|suite| suite.needs_node);
    let needs_charts = chosen.iter().any(|suite| suite.needs_charts);
    let mut building = chosen
        .iter()
        .any(|suite| needs_beside(suite))
        .then(|| build_beside(needs_clients, needs_node, needs_charts));
    let mut beside: Option<Beside> = None;
    let begin = Instant::now();
    let mut table = Vec::new();
    for suite in chosen {
        if suite.without_root == WithoutRoot::LeftOut && !setup::is_root() {
            table.push((suite, Outcome::LeftOut, Duration::ZERO));
            continue;
        }
        if beside.is_none() && needs_beside(suite) {
            let handle = building.take().context("the peers were already awaited")?;
            beside = Some(join(handle)?);
        }
        let started = Instant::now();
        let passed = run_suite(suite, beside.as_ref())?;
        let outcome = if passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        table.push((suite, outcome, started.elapsed()));
        // Nothing that runs the build can tell more than that the build failed.
        if suite.name == "build" && !passed {
            break;
        }
    }
    if let Some(handle) = building.take() {
        join(handle)?;
    }
    close(&table, begin.elapsed())
}

/// All suites, or those named by `--only a,b`.
fn choose(arguments: &[String]) -> Result<Vec<&'static Suite>> {
    let names: Vec<&str> = match arguments {
        [] => return Ok(SUITES.iter().collect()),
        [flag, names] if flag == "--only" => names.split(',').collect(),
        _ => bail!("the only argument is --only NAME,..."),
    };
    let find = |name: &&str| {
        let known = || {
            SUITES
                .iter()
                .map(|suite| suite.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let suite = SUITES.iter().find(|suite| suite.name == *name);
        suite.with_context(|| format!("no suite is called '{name}'; there are {}", known()))
    };
    names.iter().map(find).collect()
}

/// Peers and cargo-deny need no output of the workspace's build, so they are made beside it.
fn build_beside(
    needs_clients: bool,
    needs_node: bool,
    needs_charts: bool,
) -> JoinHandle<Result<Beside>> {
    std::thread::spawn(move || {
        let node = if needs_node { peers::NODE } else { &[] };
        let backup = if needs_node { peers::BACKUP } else { &[] };
        let charts = if needs_charts { peers::CHARTS } else { &[] };
        Ok(Beside {
            peers: peers::ensure(&[peers::STORE, node, backup, charts].concat())?,
            clients: needs_clients.then(|| clients::ensure(&[])).transpose()?,
            cargo_deny: setup::ensure_cargo_deny()?,
        })
    })
}

fn join(handle: JoinHandle<Result<Beside>>) -> Result<Beside> {
    handle
        .join()
        .map_err(|_| anyhow::anyhow!("the build of the peers panicked"))?
}

fn needs_beside(suite: &Suite) -> bool {
    suite.needs_peers
        || suite
            .steps
            .iter()
            .any(|step| step.program == Program::CargoDeny)
}

/// Runs the steps of a suite with their output in a file; shows the end of it.
fn run_suite(suite: &Suite, beside: Option<&Beside>) -> Result<bool> {
    println!("\n== {} (at most {} s)", suite.name, suite.budget.as_secs());
    let folder = places::cache()?.join("test");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let log = folder.join(format!("{}.log", suite.name));
    File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let deadline = Instant::now() + suite.budget;
    for step in suite.steps {
        let line = step.arguments.join(" ");
        let failure = run_step(step, beside, &log, deadline)?;
        if let Some(failure) = failure {
            println!("{}", last_lines(&log, FAILURE_LINES)?);
            println!(
                "== {}: FAILED: {line}: {failure}; all of it in {}",
                suite.name,
                log.display()
            );
            return Ok(false);
        }
    }
    println!("{}", closing_lines(&log)?);
    Ok(true)
}

/// One command in a process group of its own, so that whatever it started ends with it when its
/// time is up. Returns what went wrong, if anything did.
fn run_step(
    step: &Step,
    beside: Option<&Beside>,
    log: &Path,
    deadline: Instant,
) -> Result<Option<String>> {
    let output = OpenOptions::new().append(true).open(log)?;
    let mut command = command_of(step, beside)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", step.arguments.join(" ")))?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then(|| status.to_string()));
        }
        let late = Instant::now() > deadline;
        if late || interrupt::asked() {
            process::kill_group(child.id());
            child.wait()?;
            if late {
                return Ok(Some("its time was up".to_owned()));
            }
            bail!("interrupted");
        }
        std::thread::sleep(process::POLL);
    }
}

fn command_of(step: &Step, beside: Option<&Beside>) -> Result<Command> {
    let mut command = match step.program {
        Program::Cargo => places::cargo(&[])?,
        Program::CargoDeny => Command::new(&beside.context("no cargo-deny yet")?.cargo_deny),
        // Not this very file: the suite `build` may have put another in its place.
        Program::Xtask => places::cargo(&["run", "--quiet", "--package", "xtask", "--"])?,
        Program::Built(name) => Command::new(places::built("debug", name)?),
    };
    command
        .args(step.arguments)
        .current_dir(places::checkout()?);
    if let Some(beside) = beside {
        command.env("MAINSTAY_PEERS", &beside.peers);
        if let Some(folder) = &beside.clients {
            command.env("MAINSTAY_CLIENTS", folder);
        }
        command.env("MAINSTAY_BIN", places::built("debug", "mainstay")?);
        command.env(
            "MAINSTAY_PLANTED_BIN",
            places::built("debug", "mainstay-planted")?,
        );
    }
    Ok(command)
}

/// The test runner's own result lines where there are some, or else the last lines.
fn closing_lines(log: &Path) -> Result<String> {
    let text = fs::read_to_string(log).context("cannot read the log of the suite")?;
    let is_result = |line: &&str| line.starts_with("test result:") && !line.contains(" 0 passed");
    let results: Vec<&str> = text.lines().filter(is_result).collect();
    if results.is_empty() {
        last_lines(log, CLOSING_LINES)
    } else {
        Ok(results.join("\n"))
    }
}

fn last_lines(log: &Path, count: usize) -> Result<String> {
    let bytes = fs::read(log).context("cannot read the log of the suite")?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n"))
}

/// The table at the end: every suite, its time against its budget, and what was left out.
fn close(table: &[(&Suite, Outcome, Duration)], total: Duration) -> Result<()> {
    println!(
        "\n{:<12} {:<10} {:>8} {:>8}",
        "suite", "outcome", "seconds", "budget"
    );
    let mut failed = Vec::new();
    for (suite, outcome, took) in table {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::LeftOut => "left out",
        };
        if matches!(outcome, Outcome::Failed) {
            failed.push(suite.name);
        }
        let budget = suite.budget.as_secs();
        println!(
            "{:<12} {word:<10} {:>8} {budget:>8}",
            suite.name,
            took.as_secs()
        );
    }
    println!("{:<12} {:<10} {:>8}", "all", "", total.as_secs());
    if !setup::is_root() {
        for (suite, _, _) in table {
            match suite.without_root {
                WithoutRoot::Same => {}
                WithoutRoot::Without(part) => {
                    println!("needs root, so {} ran without: {part}", suite.name);
                }
                WithoutRoot::LeftOut => println!("needs root, so left out: {}", suite.name),
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(program: &'static str, arguments: &'static [&'static str]) -> Step {
        Step {
            program: Program::Built(program),
            arguments,
        }
    }

    fn log() -> Result<PathBuf> {
        let path = std::env::temp_dir().join(format!("xtask-test-{}", std::process::id()));
        File::create(&path)?;
        Ok(path)
    }

    #[test]
    fn a_step_over_its_time_is_killed_with_its_children() -> Result<()> {
        let begin = Instant::now();
        let slow = step("/bin/sh", &["-c", "sleep 60 & wait"]);
        let failure = run_step(&slow, None, &log()?, begin)?;
        assert_eq!(failure.as_deref(), Some("its time was up"));
        assert!(begin.elapsed() < Duration::from_secs(30));
        Ok(())
    }

    #[test]
    fn a_failing_step_tells_its_status() -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        assert_eq!(
            run_step(&step("/bin/true", &[]), None, &log()?, deadline)?,
            None
        );
        let failure = run_step(&step("/bin/false", &[]), None, &log()?, deadline)?;
        assert!(failure.is_some_and(|text| text.contains("exit status: 1")));
        Ok(())
    }

    #[test]
    fn suites_have_different_names_and_time() {
        for (index, suite) in SUITES.iter().enumerate() {
            assert!(
                suite.budget > Duration::ZERO && !suite.steps.is_empty(),
                "{}",
                suite.name
            );
            assert!(
                SUITES
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.name != suite.name)
            );
        }
    }
}
