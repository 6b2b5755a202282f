//! One side of the comparison: a product, and its cluster while it is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::cluster::{Cluster, Plan};
use xtask::{places, process};

use crate::client::{Client, Summary};
use crate::reading::{QUANTITIES, Readings};
use crate::rows::{Row, Stage, fill};
use crate::secure::Secure;

/// How long a cluster may take to serve, with a million keys on disk too.
const START_LIMIT: Duration = Duration::from_secs(180);
const MEMBERS: u16 = 3;

/// A product to measure.
pub struct Side {
    pub name: &'static str,
    pub program: PathBuf,
}

/// Three members of one side with empty data, and the client that loads them.
pub struct Running {
    pub client: Client,
    cluster: Cluster,
    plan: Plan,
    scale: f64,
}

impl Running {
    /// Wipes the folder of the last run and starts the members.
    pub fn start(
        side: &Side,
        stage: Stage,
        peers: &Path,
        base_port: u16,
        scale: f64,
    ) -> Result<Running> {
        let folder = places::cache()?.join("bench").join(side.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot wipe {}", folder.display()))?;
        }
        let secure = match stage {
            Stage::Secure => Some(Secure::new(&folder)?),
            Stage::Small | Stage::Million => None,
        };
        // Both sides get what the million keys need; the default quota is 2 GiB.
        let mut flags = vec!["--quota-backend-bytes=8589934592".to_owned()];
        flags.extend(secure.iter().flat_map(Secure::member_flags));
        let plan = Plan {
            program: side.program.clone(),
            folder: folder.clone(),
            ports: (0..MEMBERS)
                .map(|n| (base_port + 2 * n, base_port + 2 * n + 1))
                .collect(),
            token: "bench".to_owned(),
            secure: secure.is_some(),
            flags,
        };
        let mut cluster = Cluster::start(&plan)?;
        cluster.wait_until_serving(START_LIMIT)?;
        let client = Client {
            peers: peers.to_path_buf(),
            endpoints: cluster.endpoints(),
            flags: secure.iter().flat_map(Secure::client_flags).collect(),
            folder,
        };
        Ok(Running {
            client,
            cluster,
            plan,
            scale,
        })
    }

    /// Runs the rows of one stage, then stops the members.
    pub fn measure(mut self, stage: Stage, rows: &[&Row], readings: &mut Readings) -> Result<()> {
        if stage == Stage::Million {
            fill(&mut self)?;
        }
        for row in rows {
            (row.run)(&mut self, readings).with_context(|| format!("row {}", row.name))?;
            for quantity in QUANTITIES {
                if quantity.key.split('.').next() == Some(row.name)
                    && let Some(value) = readings.0.get(quantity.key)
                {
                    let (decimals, unit) = (quantity.decimals, quantity.unit);
                    println!("  {:<14} {value:>12.decimals$} {unit}", quantity.key);
                }
            }
        }
        self.cluster.stop(None)
    }

    /// A number of requests or keys times the scale asked for, at least 100.
    pub fn scaled(&self, count: f64) -> u64 {
        (count * self.scale).max(count.min(100.0)) as u64
    }

    /// Runs a load; beside its summary, the CPU seconds that all members spent meanwhile.
    pub fn timed(
        &mut self,
        connections: u32,
        clients: u32,
        arguments: &[&str],
    ) -> Result<(Summary, f64)> {
        let before = self.cluster.cpu_time()?;
        let summary = self.client.load(connections, clients, arguments)?;
        let spent = self.cluster.cpu_time()?.saturating_sub(before);
        Ok((summary, spent.as_secs_f64()))
    }

    /// Resident memory of each member in bytes.
    pub fn resident(&self) -> Result<Vec<u64>> {
        self.cluster
            .pids()
            .into_iter()
            .map(process::resident)
            .collect()
    }

    /// Stops all members, starts them again with their data, and says how long that start took.
    pub fn restart(&mut self) -> Result<Duration> {
        self.cluster.stop(None)?;
        self.cluster = Cluster::start(&self.plan)?;
        self.cluster.wait_until_serving(START_LIMIT)
    }
}
