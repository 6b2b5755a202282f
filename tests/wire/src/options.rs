use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    pub command: String,
    /// The server under test.
    pub subject: PathBuf,
    /// Folder with etcd, etcdctl and the Kubernetes binaries.
    pub peers: PathBuf,
    /// Folder with the programs of `clients`.
    pub clients: PathBuf,
    /// Folder with the built examples of `store/client`.
    pub examples: PathBuf,
    /// Leave out users and rights.
    pub plain: bool,
    pub seeds: u64,
    pub start_seed: u64,
    /// Operations of each seed.
    pub ops: usize,
    pub trace: bool,
    pub report: bool,
    /// Also run what takes a minute or more.
    pub long: bool,
    /// Both servers speak TLS, to clients and among members.
    pub tls: bool,
    /// Run only scripts whose name contains this.
    pub only: Option<String>,
    /// Objects of the API server scenario.
    pub objects: usize,
}

pub const USAGE: &str = "\
usage: mainstay-wire <command> [options]
commands: diff, script, etcdctl, http, json, lock, member, observe, go-client, rust-client, client, clients,
          snapshot, tls, auth, apiserver
  --bin PATH        server under test (default: MAINSTAY_BIN)
  --self            compare etcd with itself
  --peers DIR       folder of the peers (default: MAINSTAY_PEERS, then the cache)
  --clients DIR     clients: folder of their programs (default: MAINSTAY_CLIENTS, then the cache)
  --examples DIR    client: folder of its built examples (default: `examples` beside this program)
  --plain           clients: no users
  --seeds N         diff, json: how many seeds (20)
  --start-seed S    diff, json: the first of them (1)
  --seed S          diff, json: this one only
  --ops K           diff, json: operations of each seed (300)
  --trace           diff, json: print every request and answer
  --report          diff: print what was covered
  --only TEXT       all but diff, http, rust-client: cases whose name contains TEXT
  --objects N       apiserver: ConfigMaps to create (5000)
  --tls             diff, script, json, lock, auth, apiserver: over TLS with client certificates
  --long            also cases of a minute or more";

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = args.skip(1);
        let command = args.next().context("no command given")?;
        let home = std::env::var_os("HOME")
            .map(PathBuf::from)
            .unwrap_or_default();
        let cache = home.join(".cache/mainstay");
        let mut options = Self {
            command,
            subject: std::env::var_os("MAINSTAY_BIN")
                .map(PathBuf::from)
                .unwrap_or_default(),
            peers: std::env::var_os("MAINSTAY_PEERS")
                .map_or(cache.join("peers/current"), PathBuf::from),
            clients: std::env::var_os("MAINSTAY_CLIENTS")
                .map_or(cache.join("clients/current"), PathBuf::from),
            examples: std::env::current_exe()?.with_file_name("examples"),
            plain: false,
            seeds: 20,
            start_seed: 1,
            ops: 300,
            trace: false,
            report: false,
            long: false,
            tls: false,
            only: None,
            objects: 5000,
        };
        let mut own = false;
        while let Some(flag) = args.next() {
            let mut value = || args.next().with_context(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--bin" => options.subject = value()?.into(),
                "--self" => own = true,
                "--peers" => options.peers = value()?.into(),
                "--clients" => options.clients = value()?.into(),
                "--examples" => options.examples = value()?.into(),
                "--plain" => options.plain = true,
                "--seeds" => options.seeds = value()?.parse()?,
                "--start-seed" => options.start_seed = value()?.parse()?,
                "--seed" => {
                    options.start_seed = value()?.parse()?;
                    options.seeds = 1;
                }
                "--ops" => options.ops = value()?.parse()?,
                "--objects" => options.objects = value()?.parse()?,
                "--only" => options.only = Some(value()?),
                "--trace" => options.trace = true,
                "--report" => options.report = true,
                "--long" => options.long = true,
                "--tls" => options.tls = true,
                _ => bail!("unknown option {flag}"),
            }
        }
        if own {
            options.subject = options.etcd();
        }
        if options.subject.as_os_str().is_empty() {
            bail!("name the server under test by --bin or MAINSTAY_BIN");
        }
        for needed in [&options.subject, &options.etcd()] {
            if !needed.is_file() {
                bail!("{} is missing", needed.display());
            }
        }
        Ok(options)
    }

    pub fn etcd(&self) -> PathBuf {
        self.peers.join("etcd")
    }

    pub fn peer(&self, name: &str) -> Result<PathBuf> {
        let path = self.peers.join(name);
        if !path.is_file() {
            bail!("{} is missing", path.display());
        }
        Ok(path)
    }

    pub fn subject(&self) -> &Path {
        &self.subject
    }

    pub fn wants(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_mistyped_option_is_refused() {
        let error = parse("wire diff --sedes 3")
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("unknown option --sedes"));
    }

    #[test]
    fn one_seed_is_a_run_of_one() {
        let binary = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(&binary, dir.path().join("etcd")).unwrap();
        let line = format!("wire diff --self --peers {} --seed 9", dir.path().display());
        let options = parse(&line).unwrap();
        assert_eq!((options.start_seed, options.seeds), (9, 1));
    }
}
