//! The command line.

use std::{path::PathBuf, time::SystemTime};

use anyhow::{Context, bail};
use mainstay_model::Rule;

use crate::disk;

/// What `--help` prints.
pub const USAGE: &str = "\
mainstay-chaos <run|planted|malformed|disk-full|snapshot|quorum|bootstrap|members|check> [flags]
  run          kill, stop and unplug members under load, then judge the history
  planted      faults built into the server must be caught, and only when switched on
  malformed    input that no client sends: an error or a closed connection, no panic
  disk-full    a member whose disk is full stops, and comes back with space
  snapshot     a member behind the log gets a snapshot, and is killed while it does
  quorum       the leader's processor time without a follower, lost leaders, overload
  bootstrap    forming clusters, refusing to, and ending in order
  members      adding, replacing and removing members under load, and removed ones that come back
  check FILE   judge a history that a failed run has left
flags:
  --bin PATH          server, else MAINSTAY_BIN, else `mainstay` beside this program
  --planted-bin PATH  server built with planted faults, else MAINSTAY_PLANTED_BIN, else --bin
  --fault NAME        only this planted fault
  --seconds N         length of the faults in `run` (60)
  --members N         1 to 9 (3)
  --megabytes N       data in the store in `snapshot` (200)
  --seed S            schedule and load (from the clock)
  --dir PATH          where members live and failures are left (a new one in the temporary directory)
  --keep              leave the directory after a pass too
  --no-mounts         act as a user who cannot mount";

/// What to run and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub command: String,
    pub file: Option<PathBuf>,
    pub bin: PathBuf,
    pub planted_bin: PathBuf,
    pub fault: Option<String>,
    pub seconds: u64,
    pub members: u32,
    pub megabytes: u64,
    pub seed: u64,
    pub directory: PathBuf,
    pub keep: bool,
    /// Whether file systems can be mounted for power cuts and full disks.
    pub mounts: bool,
}

impl Options {
    /// # Errors
    /// Names the flag that is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let bin = env("MAINSTAY_BIN").or_else(sibling);
        let mut options = Options {
            command: arguments.next().context(USAGE)?,
            file: None,
            bin: bin.unwrap_or_default(),
            planted_bin: PathBuf::new(),
            fault: None,
            seconds: 60,
            members: 3,
            megabytes: 200,
            seed: u64::from(clock.subsec_nanos()) ^ clock.as_secs(),
            directory: PathBuf::new(),
            keep: false,
            mounts: disk::can_mount(),
        };
        let mut planted = env("MAINSTAY_PLANTED_BIN");
        while let Some(flag) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{flag} needs a value"))
            };
            match flag.as_str() {
                "--bin" => options.bin = value()?.into(),
                "--planted-bin" => planted = Some(value()?.into()),
                "--fault" => options.fault = Some(value()?),
                "--seconds" => options.seconds = number(&flag, &value()?)?,
                "--members" => options.members = u32::try_from(number(&flag, &value()?)?)?,
                "--megabytes" => options.megabytes = number(&flag, &value()?)?,
                "--seed" => options.seed = number(&flag, &value()?)?,
                "--dir" => options.directory = value()?.into(),
                "--keep" => options.keep = true,
                "--no-mounts" => options.mounts = false,
                _ if !flag.starts_with('-') => options.file = Some(flag.into()),
                _ => bail!("unknown flag {flag}\n{USAGE}"),
            }
        }
        options.planted_bin = planted.unwrap_or_else(|| options.bin.clone());
        if !(1..=9).contains(&options.members) {
            bail!("--members must be 1 to 9");
        }
        let empty = |directory: &PathBuf| {
            directory
                .read_dir()
                .is_ok_and(|mut all| all.next().is_none())
        };
        if options.directory.exists() && !empty(&options.directory) {
            bail!("--dir {} is not empty", options.directory.display());
        }
        if options.directory.as_os_str().is_empty() {
            let name = format!("mainstay-{}-{}", options.command, options.seed);
            options.directory = std::env::temp_dir().join(name);
        }
        Ok(options)
    }

    /// Whether the server is etcd itself, by which the harness is proven. Its known defects are
    /// then not counted.
    #[must_use]
    pub fn is_etcd(&self) -> bool {
        self.bin.file_name().is_some_and(|name| name == "etcd")
    }
}

impl Options {
    /// Rules that this server is known to break. A deposed leader of etcd 3.7.1 that does not know
    /// yet of a lease answers a keep-alive for it with zero seconds.
    #[must_use]
    pub fn known_defects(&self) -> &'static [Rule] {
        if self.is_etcd() {
            &[Rule::LeaseDenied]
        } else {
            &[]
        }
    }
}

fn number(flag: &str, value: &str) -> anyhow::Result<u64> {
    value
        .parse()
        .with_context(|| format!("{flag} {value} is not a number"))
}

fn env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn sibling() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name("mainstay");
    path.exists().then_some(path)
}
