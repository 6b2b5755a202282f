//! The suites of `cargo xtask test`: what each runs, within what time, and what it needs.

use std::time::Duration;

/// The program that a step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Cargo,
    /// The pinned cargo-deny of `cargo xtask setup`.
    CargoDeny,
    /// Another chore of this program.
    Xtask,
    /// A test program of the workspace, which the suite `build` leaves.
    Built(&'static str),
}

/// One command of a suite.
pub struct Step {
    pub program: Program,
    pub arguments: &'static [&'static str],
}

/// What becomes of a suite when the user is not root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WithoutRoot {
    Same,
    /// It runs, but without this part.
    Without(&'static str),
    LeftOut,
}

/// Commands that pass or fail together, with the time they may take on two cores.
pub struct Suite {
    pub name: &'static str,
    pub budget: Duration,
    pub needs_peers: bool,
    /// The programs of `tests/wire/clients`.
    pub needs_clients: bool,
    /// The peers of a whole Kubernetes node.
    pub needs_node: bool,
    /// helm and the other peers of `mainstay-charts`.
    pub needs_charts: bool,
    pub without_root: WithoutRoot,
    pub steps: &'static [Step],
}

/// In the order they run: what fails fast comes first, what needs the peers last, because those
/// are built meanwhile.
pub const SUITES: &[Suite] = &[
    Suite {
        steps: &[cargo(&[
            "fmt", "--all", "--check", "--", "--color", "never",
        ])],
        ..local("fmt", 1)
    },
    Suite {
        steps: &[
            cargo(&["build", "--locked", "--workspace", "--bins"]),
            // Builds the examples too, which the suite `client` runs.
            cargo(&["test", "--locked", "--workspace", "--no-run"]),
            xtask(&["server", "--planted"]),
        ],
        // A cold build is mostly RocksDB.
        ..local("build", 60)
    },
    Suite {
        steps: &[cargo(CLIPPY)],
        ..local("clippy", 15)
    },
    Suite {
        steps: &[
            cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]),
            cargo(&["run", "--quiet", "--package", "mainstay-tidy"]),
        ],
        ..beside_peers("tests", 12)
    },
    Suite {
        steps: &[
            wire(&["diff", "--seeds", "20"]),
            wire(&["diff", "--tls", "--seeds", "10", "--start-seed", "21"]),
        ],
        ..beside_peers("diff", 10)
    },
    Suite {
        steps: &[
            wire(&["script"]),
            wire(&["script", "--tls", "--only", "cluster"]),
        ],
        ..beside_peers("script", 8)
    },
    Suite {
        steps: &[wire(&["etcdctl"])],
        ..beside_peers("etcdctl", 5)
    },
    Suite {
        steps: &[wire(&["http"])],
        ..beside_peers("http", 3)
    },
    Suite {
        steps: &[wire(&["json"]), wire(&["json", "--tls"])],
        ..beside_peers("json", 7)
    },
    Suite {
        steps: &[wire(&["lock"]), wire(&["lock", "--tls"])],
        ..beside_peers("lock", 7)
    },
    Suite {
        steps: &[wire(&["member"])],
        without_root: WithoutRoot::Without("SRV records"),
        ..beside_peers("member", 10)
    },
    Suite {
        steps: &[wire(&["observe"])],
        ..beside_peers("observe", 4)
    },
    Suite {
        steps: &[wire(&["go-client"])],
        ..beside_peers("go-client", 4)
    },
    Suite {
        steps: &[wire(&["rust-client"])],
        ..beside_peers("rust-client", 3)
    },
    Suite {
        steps: &[wire(&["client"])],
        without_root: WithoutRoot::Without("members cut off"),
        ..beside_peers("client", 12)
    },
    Suite {
        steps: &[wire(&["clients", "--plain"]), wire(&["clients"])],
        needs_clients: true,
        ..beside_peers("clients", 5)
    },
    Suite {
        steps: &[wire(&["snapshot"])],
        ..beside_peers("backup", 5)
    },
    Suite {
        steps: &[wire(&["tls"])],
        ..beside_peers("tls", 5)
    },
    Suite {
        steps: &[wire(&["auth"]), wire(&["auth", "--tls"])],
        ..beside_peers("auth", 9)
    },
    Suite {
        steps: &[
            wire(&["apiserver"]),
            wire(&["apiserver", "--tls", "--objects", "1000"]),
        ],
        ..beside_peers("apiserver", 8)
    },
    Suite {
        steps: &[chaos(&["run", "--seconds", "90"])],
        without_root: WithoutRoot::Without("power cuts"),
        ..beside_peers("chaos", 6)
    },
    Suite {
        steps: &[chaos(&["planted"])],
        ..beside_peers("planted", 10)
    },
    Suite {
        steps: &[chaos(&["malformed"])],
        ..beside_peers("malformed", 3)
    },
    Suite {
        steps: &[chaos(&["disk-full"])],
        without_root: WithoutRoot::LeftOut,
        ..beside_peers("disk-full", 4)
    },
    Suite {
        steps: &[chaos(&["bootstrap"])],
        ..beside_peers("bootstrap", 5)
    },
    Suite {
        steps: &[chaos(&["members"])],
        ..beside_peers("members", 8)
    },
    Suite {
        steps: &[chaos(&["quorum"])],
        ..beside_peers("quorum", 8)
    },
    Suite {
        steps: &[chaos(&["snapshot", "--megabytes", "64"])],
        ..beside_peers("snapshot", 8)
    },
    Suite {
        steps: &[Step {
            program: Program::Built("mainstay-charts"),
            arguments: &["test"],
        }],
        needs_charts: true,
        ..beside_peers("charts", 8)
    },
    Suite {
        steps: &[
            xtask(&["cluster", "test"]),
            xtask(&["cluster", "test", "--datastore", "mainstay"]),
        ],
        needs_node: true,
        without_root: WithoutRoot::LeftOut,
        ..beside_peers("node", 10)
    },
    Suite {
        // All of it takes eight minutes more: see tests/cluster/README.md.
        steps: &[xtask(&["cluster", "test", "operator", "--core"])],
        needs_node: true,
        without_root: WithoutRoot::LeftOut,
        ..beside_peers("operator", 8)
    },
    Suite {
        steps: &[Step {
            program: Program::CargoDeny,
            arguments: DENY,
        }],
        ..local("deny", 2)
    },
];

const CLIPPY: &[&str] = &[
    "clippy",
    "--locked",
    "--workspace",
    "--all-targets",
    "--",
    "-D",
    "warnings",
];
const DENY: &[&str] = &[
    "--workspace",
    "--config",
    ".deny.toml",
    "check",
    "licenses",
    "bans",
    "sources",
];

/// A suite that needs nothing but the build.
const fn local(name: &'static str, minutes: u64) -> Suite {
    let budget = Duration::from_secs(60 * minutes);
    Suite {
        name,
        budget,
        needs_peers: false,
        needs_clients: false,
        needs_node: false,
        needs_charts: false,
        without_root: WithoutRoot::Same,
        steps: &[],
    }
}

/// A suite that runs against the real etcd or Kubernetes.
const fn beside_peers(name: &'static str, minutes: u64) -> Suite {
    let budget = Duration::from_secs(60 * minutes);
    Suite {
        name,
        budget,
        needs_peers: true,
        needs_clients: false,
        needs_node: false,
        needs_charts: false,
        without_root: WithoutRoot::Same,
        steps: &[],
    }
}

const fn cargo(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::Cargo,
        arguments,
    }
}

const fn xtask(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::Xtask,
        arguments,
    }
}

/// A command of `mainstay-wire`.
const fn wire(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::Built("mainstay-wire"),
        arguments,
    }
}

/// A command of `mainstay-chaos`.
const fn chaos(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::Built("mainstay-chaos"),
        arguments,
    }
}
