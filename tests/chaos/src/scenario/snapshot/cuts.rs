//! Where the members' logs begin, and killing them at the moment one was cut.

use anyhow::bail;
use tokio::time::{Instant, sleep};

use super::{LOOK, Run, more};
use crate::{bulk::Steady, cluster::HEAL_TIMEOUT};

/// Whole clusters killed right after their logs were cut.
const KILLS_AFTER_PURGE: u32 = 3;

impl Run {
    /// Every member dies at the moment the log of one was cut.
    pub(super) async fn kill_after_purge(&mut self, mut steady: Steady) -> anyhow::Result<()> {
        for _ in 0..KILLS_AFTER_PURGE {
            let before = steady.count();
            self.wait_purge().await?;
            more(before, steady.count())?;
            for member in &mut self.cluster.members {
                member.kill()?;
            }
            self.cluster.heal()?;
            self.cluster.wait_healthy(self.timeout).await?;
            self.kept(&steady).await?;
        }
        steady.stop().await?;
        self.kept(&steady).await
    }

    /// Where the logs of the members begin, as far as they have told.
    fn cuts(&self, members: &[usize]) -> Vec<u64> {
        let cut = |member: &usize| {
            let lines =
                self.cluster.members[*member].log_lines(|line| line.contains("log was cut"));
            let last = lines.last()?.split("\"upto\":").nth(1)?;
            last.split(|digit: char| !digit.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        members
            .iter()
            .map(|member| cut(member).unwrap_or(0))
            .collect()
    }

    /// Waits for the next cut of any member's log.
    pub(super) async fn wait_purge(&self) -> anyhow::Result<()> {
        let (before, deadline) = (self.cuts(&[0, 1, 2]), Instant::now() + HEAL_TIMEOUT);
        while self.cuts(&[0, 1, 2]) == before {
            if Instant::now() > deadline {
                bail!("no log was cut in {HEAL_TIMEOUT:?}");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until the members with the quorum no longer have the entry.
    pub(super) async fn wait_cut(&self, index: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + HEAL_TIMEOUT;
        while self.cuts(&self.others).iter().any(|upto| *upto < index) {
            if Instant::now() > deadline {
                bail!("the logs still hold entry {index} after {HEAL_TIMEOUT:?}");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}
