//! What `--help` and `--version` print.

use super::table::{FLAGS, Status};

/// Every flag with its default, and whether it does anything.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: mainstay [flags]\n\
         \x20      mainstay snapshot save|status|restore ...\n\
         \x20      mainstay import ...\n\
         \x20      mainstay inspect wal|db|members ...\n\n\
         Starts one member, or does an offline chore (see its --help). Flags, defaults and\n\
         ETCD_* variables are those of etcd 3.7.\n\n",
    );
    for flag in FLAGS {
        let note = match flag.status {
            Status::Used => String::new(),
            Status::Ignored => " (no effect)".to_owned(),
            Status::Instead(what) => format!(" (no effect: {what})"),
        };
        text.push_str(&format!("  --{} '{}'{note}\n", flag.name, flag.default));
    }
    text.push_str("  --version\n  --help\n");
    text
}

/// etcd's four lines, then our own.
pub fn version() -> String {
    format!(
        "etcd Version: {}\nGit SHA: none\nGo Version: none\nGo OS/Arch: {}/{}\n\
         Mainstay Version: {}\n",
        mainstay_api::SERVER_VERSION,
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        env!("CARGO_PKG_VERSION"),
    )
}
