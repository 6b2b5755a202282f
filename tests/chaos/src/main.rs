//! `mainstay-chaos`: see [`mainstay_chaos`] for what it does.

use std::process::ExitCode;

use mainstay_chaos::{
    options::{Options, USAGE},
    scenario,
    tally::Tally,
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(arguments.into_iter()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}", options.seed);
    let mut tally = Tally::default();
    // When interrupted the scenario is dropped, which kills its members and unmounts their disks.
    let result = tokio::select! {
        result = scenario::run(&options, &mut tally) => result,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = result {
        tally.check("the scenario ran to its end", &[format!("{error:#}")]);
    }
    println!("seed {}", options.seed);
    tally.print();
    if tally.has_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Returns on SIGINT or SIGTERM.
async fn interrupted() {
    let terminated = signal(SignalKind::terminate());
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = async {
            match terminated {
                Ok(mut signal) => drop(signal.recv().await),
                Err(error) => {
                    eprintln!("SIGTERM will leave members behind: {error}");
                    std::future::pending().await
                }
            }
        } => {}
    }
}
