//! The first process of a pod: it keeps the pod's namespaces open and buries orphans where the
//! pod's containers share one process namespace. It ends when it is told to.

use std::process::ExitCode;

use rustix::process::WaitOptions;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    let Ok(mut signals) = Signals::new([SIGCHLD, SIGINT, SIGTERM]) else {
        return ExitCode::FAILURE;
    };
    for signal in signals.forever() {
        if signal != SIGCHLD {
            return ExitCode::SUCCESS;
        }
        // One signal may stand for several children.
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }
    ExitCode::SUCCESS
}
