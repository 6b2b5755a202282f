use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mainstay_proto::authpb::permission::Type;
use mainstay_proto::etcdserverpb as pb;
use prost::Message;

use super::rpc::{self, Ended};
use super::stage::{self, Stage};
use crate::options::Options;

/// Guesses at a time, and how long they go on.
const GUESSERS: usize = 32;
const LASTS: Duration = Duration::from_secs(6);
/// Failures a minute, and what may reach the hasher: those, and what comes back meanwhile.
const LIMIT: &str = "--auth-attempts-per-minute=10";
const HASHED_MAX: usize = 10 + 3;

/// A flood of guesses is stopped before it is hashed: others log in and work, and the member goes
/// on leading.
pub async fn run(options: &Options) -> Result<()> {
    // As dear as by default: this is about what it costs.
    let plan = stage::plan(options, false, &["--bcrypt-cost=10", LIMIT]);
    let stage = Stage::open(&plan).await?;
    stage.user("victim", &[]).await?;
    stage.user("friend", &[(Type::Read, "a", "c")]).await?;
    let before = term(&stage).await?;
    let until = Instant::now() + LASTS;
    let guess = |number: usize| {
        let channel = stage.channel.clone();
        async move {
            let (mut hashed, mut refused) = (0, 0);
            while Instant::now() < until {
                let call = rpc::authenticate("victim", &format!("guess-{number}"));
                match rpc::call(&channel, None, &call).await?.ended {
                    Ended::Refused(_, text) if text.contains("too many requests") => refused += 1,
                    Ended::Refused(_, text) if text.contains("authentication failed") => {
                        hashed += 1;
                    }
                    other => anyhow::bail!("{other:?}"),
                }
            }
            Ok((hashed, refused))
        }
    };
    let guesses = futures::future::try_join_all((0..GUESSERS).map(guess));
    let (guesses, worst) = tokio::join!(guesses, work(&stage, until));
    let (hashed, refused) = guesses?
        .into_iter()
        .fold((0, 0), |sum, one: (usize, usize)| {
            (sum.0 + one.0, sum.1 + one.1)
        });
    let worst = worst?;
    ensure!(hashed <= HASHED_MAX, "{hashed} guesses were hashed");
    ensure!(refused > 10 * hashed, "only {refused} guesses were refused");
    ensure!(worst < Duration::from_secs(7), "a log-in took {worst:?}");
    ensure!(term(&stage).await? == before, "the member was deposed");
    Ok(())
}

/// Logs in as somebody else, and reads, until then; returns the longest it took.
async fn work(stage: &Stage, until: Instant) -> Result<Duration> {
    let mut worst = Duration::ZERO;
    while Instant::now() < until {
        let since = Instant::now();
        let token = stage.log_in("friend").await?;
        stage.must(Some(&token), &rpc::range("a", "")).await?;
        worst = worst.max(since.elapsed());
    }
    Ok(worst)
}

async fn term(stage: &Stage) -> Result<u64> {
    let status = rpc::Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {});
    let answer = stage.as_root(&status).await?;
    Ok(pb::StatusResponse::decode(answer.body)?.raft_term)
}
