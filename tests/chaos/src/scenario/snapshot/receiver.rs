//! The member that gets a snapshot: what its log says, and killing it on the way.

use std::time::Duration;

use anyhow::bail;
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::{LOOK, Run};
use crate::process;

impl Run {
    /// Log lines of the receiver that speak of `what`.
    pub(super) fn lines(&self, what: &str) -> usize {
        let member = &self.cluster.members[self.receiver];
        member.log_lines(|line| line.contains(what)).len()
    }

    /// Whether the receiver begins to install a snapshot before it serves.
    pub(super) async fn installs(&mut self, before: usize) -> anyhow::Result<bool> {
        let deadline = Instant::now() + self.timeout;
        while self.lines("installing a snapshot") <= before {
            let receiver = [self.receiver];
            let serving = self.cluster.wait_serving(&receiver, LOOK);
            if serving.await.is_ok() {
                return Ok(self.lines("installing a snapshot") > before);
            }
            if Instant::now() > deadline {
                bail!("the receiver neither installs a snapshot nor serves");
            }
        }
        Ok(true)
    }

    pub(super) async fn wait_line(&mut self, what: &str, before: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.timeout;
        while self.lines(what) <= before {
            if let Some(status) = self.cluster.members[self.receiver].exited() {
                bail!("the receiver ended by itself with {status}");
            }
            if Instant::now() > deadline {
                bail!("the receiver does not say {what:?}");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Twice while files come in, twice while they are installed.
    pub(super) async fn kill_while_receiving(&mut self, megabytes: u64) -> anyhow::Result<()> {
        // Of the store's size before its compactions, so well before the end of what is sent.
        for part in [32, 8] {
            let wanted = (megabytes << 20) / part;
            self.cluster.members[self.receiver].start()?;
            let deadline = Instant::now() + self.timeout;
            let dir = self.transfer(self.receiver);
            while process::directory_bytes(&dir) < wanted {
                if Instant::now() > deadline {
                    bail!("no {wanted} bytes of a snapshot came in");
                }
                sleep(LOOK).await;
            }
            self.cluster.members[self.receiver].kill()?;
            println!("killed the receiver with {} MiB", wanted >> 20);
        }
        for again in [false, true] {
            let before = self.lines("installing a snapshot");
            self.cluster.members[self.receiver].start()?;
            if !self.installs(before).await? {
                // A quick machine is done with an install before it is killed.
                anyhow::ensure!(again, "it serves without having installed a snapshot");
            }
            sleep(Duration::from_millis(self.random.random_range(0..50))).await;
            self.cluster.members[self.receiver].kill()?;
        }
        Ok(())
    }

    pub(super) async fn catch_up(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        self.cluster.members[self.receiver].start()?;
        let (all, timeout) = ([self.receiver], self.timeout);
        self.cluster.wait_serving(&all, timeout).await?;
        println!("the receiver serves after {:.1?}", started.elapsed());
        match self.lines("installing a snapshot") {
            0 => bail!("it caught up without a snapshot"),
            _ => Ok(()),
        }
    }
}
