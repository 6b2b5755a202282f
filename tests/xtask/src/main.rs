//! `cargo xtask`: the one door to every chore of this repository.
//!
//! Each subcommand is one module. This crate stays light, because every chore waits for its
//! compilation: nothing here may depend on a crate of `store/`. Read next: `src/test.rs`, which
//! lists what a change must pass, and `src/up.rs`, which starts a cluster to try.

mod bench;
mod chaos;
mod charts;
mod clients;
mod crds;
mod demo;
mod image;
mod node;
mod peers;
mod server;
mod setup;
mod suites;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

/// A chore: its name, what it does in a line, and the function that takes its arguments.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "up",
        about: "start a cluster on loopback and keep it until Ctrl-C [--members N] [--reset] [--port P]",
        run: up::run,
    },
    Chore {
        name: "demo",
        about: "a fleet of processes kept by a controller that watches keys [--workers N]",
        run: demo::run,
    },
    Chore {
        name: "test",
        about: "everything a change must pass, each suite in its short form [--only NAME,...]",
        run: test::run,
    },
    Chore {
        name: "bench",
        about: "etcd and Mainstay in turn, as ratios [--rounds 3] [--rows a,b] [--list]",
        run: bench::run,
    },
    Chore {
        name: "chaos",
        about: "faults against three real members; arguments go to mainstay-chaos",
        run: chaos::run,
    },
    Chore {
        name: "peers",
        about: "build etcd and Kubernetes as pinned by tests/peers [NAME...] [--path]",
        run: peers::run,
    },
    Chore {
        name: "cluster",
        about: "a real Kubernetes node: up [--datastore etcd|mainstay], down, load IMAGE, test",
        run: node::run,
    },
    Chore {
        name: "charts",
        about: "chart, samples and alerts: test (the default), lint, or render what is made from them",
        run: charts::run,
    },
    Chore {
        name: "image",
        about: "archives of our images, for the node and for others [NAME...]",
        run: image::run,
    },
    Chore {
        name: "clients",
        about: "install the client programs of tests/wire/clients [NAME...] [--path]",
        run: clients::run,
    },
    Chore {
        name: "server",
        about: "build the server and print where it is [--planted | --release]",
        run: server::run,
    },
    Chore {
        name: "tidy",
        about: "the repository's rules, and outsized files",
        run: tidy::run,
    },
    Chore {
        name: "crds",
        about: "write the operator's resource definitions into crds/",
        run: crds::run,
    },
    Chore {
        name: "setup",
        about: "look for the tools a build needs; as root install",
        run: setup::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = arguments.first().map(String::as_str);
    let Some(chore) = CHORES.iter().find(|chore| Some(chore.name) == asked) else {
        return usage(asked);
    };
    match (chore.run)(arguments.get(1..).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", chore.name);
            ExitCode::FAILURE
        }
    }
}

/// Lists the chores; asking for help is a success, asking for what does not exist is not.
fn usage(asked: Option<&str>) -> ExitCode {
    let wants_help = matches!(asked, None | Some("help" | "--help" | "-h"));
    if let Some(name) = asked.filter(|_| !wants_help) {
        eprintln!("no chore is called '{name}'; there are:");
    }
    for chore in CHORES {
        eprintln!("  cargo xtask {:<7} {}", chore.name, chore.about);
    }
    if wants_help {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}
