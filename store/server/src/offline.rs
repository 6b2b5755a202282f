//! Chores that need no running member: backups saved, looked at and restored, a data directory of
//! etcd taken over, and one of our own looked into. Flags and defaults are etcdutl's, and etcdctl's for `save`.
//!
//! What goes wrong is one line on stderr and exit code 1; wrong flags are exit code 2. A new data
//! directory appears whole or not at all.

mod connect;
mod import;
mod inspect;
pub mod new_dir;
pub mod restore;
mod save;
mod status;

use std::ffi::OsStr;

use clap::{Args, Parser, Subcommand};

use crate::settings;

/// First arguments that are a chore; anything else starts the member.
const CHORES: [&str; 3] = ["snapshot", "import", "inspect"];
const EXIT_FAILED: i32 = 1;

#[derive(Debug, Parser)]
#[command(name = "mainstay", disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Saves, shows or restores a backup in etcd's form.
    Snapshot {
        #[command(subcommand)]
        action: Snapshot,
    },
    /// Makes a data directory of that of a stopped etcd member.
    Import(import::Arguments),
    /// Shows what is in a stopped member's data directory, damaged or not. Changes nothing.
    Inspect(inspect::Arguments),
}

#[derive(Debug, Subcommand)]
enum Snapshot {
    /// Asks a member for a backup and stores it in a file.
    Save(save::Arguments),
    /// Shows what is in a backup.
    Status(status::Arguments),
    /// Makes a data directory of a backup.
    Restore(restore::Arguments),
}

/// Which cluster a new data directory is for.
#[derive(Debug, Args)]
pub struct NewCluster {
    /// Directory to make; `<name>.etcd` if none is given.
    #[arg(long)]
    data_dir: Option<std::path::PathBuf>,
    /// Name of this member.
    #[arg(long, default_value = settings::DEFAULT_NAME)]
    name: String,
    /// All members with their peer URLs: `name=url,name=url`.
    #[arg(long, default_value = settings::DEFAULT_INITIAL_CLUSTER)]
    initial_cluster: String,
    /// The word that tells this cluster from others.
    #[arg(long, default_value = settings::DEFAULT_TOKEN)]
    initial_cluster_token: String,
    /// This member's peer URLs, as the list of members has them.
    #[arg(long, default_value = settings::DEFAULT_PEER_URL)]
    initial_advertise_peer_urls: String,
}

/// Does the chore that the process was started for and returns the exit code; none if it was not.
pub fn from_process() -> Option<i32> {
    let first = std::env::args_os().nth(1)?;
    if !CHORES.iter().any(|chore| OsStr::new(chore) == first) {
        return None;
    }
    let line = Line::parse();
    let done = match line.chore {
        Chore::Snapshot { action } => match action {
            Snapshot::Save(arguments) => save::run(&arguments),
            Snapshot::Status(arguments) => status::run(&arguments),
            Snapshot::Restore(arguments) => restore::run(&arguments),
        },
        Chore::Import(arguments) => import::run(&arguments),
        Chore::Inspect(arguments) => inspect::run(&arguments),
    };
    Some(match done {
        Ok(()) => 0,
        Err(error) => {
            // One line, whatever an error of the file system or the network has in its text.
            eprintln!("Error: {}", format!("{error:#}").replace('\n', " "));
            EXIT_FAILED
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Line::command().debug_assert();
    }

    #[test]
    fn defaults_are_etcdutls() {
        let line = Line::try_parse_from(["mainstay", "snapshot", "restore", "a.db"]).unwrap();
        let Chore::Snapshot {
            action: Snapshot::Restore(arguments),
        } = line.chore
        else {
            panic!("{line:?}");
        };
        let cluster = &arguments.cluster;
        assert_eq!(cluster.name, "default");
        assert_eq!(cluster.initial_cluster, "default=http://localhost:2380");
        assert_eq!(cluster.initial_cluster_token, "etcd-cluster");
        assert!(!arguments.skip_hash_check && arguments.bump_revision == 0);
        assert!(Line::try_parse_from(["mainstay", "snapshot", "restore"]).is_err());
        assert!(Line::try_parse_from(["mainstay", "snapshot", "save", "x", "--nope"]).is_err());
    }
}
