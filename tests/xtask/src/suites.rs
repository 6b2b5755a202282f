//! The suites of `cargo xtask test`: what each runs, within what time, and what it needs.

use std::time::Duration;

/// The program that a step runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Cargo,
    /// The pinned cargo-deny of `cargo xtask setup`.
    CargoDeny,
}

/// One command of a suite.
pub struct Step {
    pub program: Program,
    pub arguments: &'static [&'static str],
}

/// Commands that pass or fail together, with the time they may take on two cores.
pub struct Suite {
    pub name: &'static str,
    pub budget: Duration,
    /// Programs of `tests/peers` that must be there first.
    pub needs_peers: bool,
    /// Left out, and named as left out, for any other user.
    pub needs_root: bool,
    pub steps: &'static [Step],
}

const fn cargo(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::Cargo,
        arguments,
    }
}

const fn deny(arguments: &'static [&'static str]) -> Step {
    Step {
        program: Program::CargoDeny,
        arguments,
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

const LOCAL: Suite = Suite {
    name: "",
    budget: minutes(1),
    needs_peers: false,
    needs_root: false,
    steps: &[],
};

/// In the order they run: what fails fast comes first, what needs the peers last, because those
/// are built meanwhile.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "fmt",
        steps: &[cargo(&["fmt", "--all", "--check"])],
        ..LOCAL
    },
    Suite {
        name: "build",
        // A cold build is mostly RocksDB.
        budget: minutes(60),
        steps: &[
            cargo(&["build", "--locked", "--workspace", "--bins"]),
            cargo(&["test", "--locked", "--workspace", "--no-run"]),
        ],
        ..LOCAL
    },
    Suite {
        name: "clippy",
        budget: minutes(15),
        steps: &[cargo(&[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])],
        ..LOCAL
    },
    Suite {
        name: "tests",
        budget: minutes(10),
        needs_peers: true,
        steps: &[cargo(&[
            "test",
            "--locked",
            "--workspace",
            "--no-fail-fast",
        ])],
        ..LOCAL
    },
    Suite {
        name: "wire",
        budget: minutes(10),
        needs_peers: true,
        steps: &[cargo(&[
            "run",
            "-q",
            "-p",
            "mainstay-wire",
            "--",
            "diff",
            "--seeds",
            "20",
        ])],
        ..LOCAL
    },
    Suite {
        name: "apiserver",
        budget: minutes(8),
        needs_peers: true,
        steps: &[cargo(&[
            "run",
            "-q",
            "-p",
            "mainstay-wire",
            "--",
            "apiserver",
        ])],
        ..LOCAL
    },
    Suite {
        name: "chaos",
        budget: minutes(8),
        needs_peers: true,
        steps: &[
            cargo(&[
                "run",
                "-q",
                "-p",
                "mainstay-chaos",
                "--",
                "run",
                "--seconds",
                "90",
            ]),
            cargo(&["run", "-q", "-p", "mainstay-chaos", "--", "planted"]),
        ],
        ..LOCAL
    },
    Suite {
        name: "deny",
        budget: minutes(2),
        steps: &[deny(&[
            "--workspace",
            "--config",
            ".deny.toml",
            "check",
            "licenses",
            "bans",
            "sources",
        ])],
        ..LOCAL
    },
];
