//! Faults built into the server that the checkers must catch.
//!
//! A suite that has never failed proves nothing. A server built with the feature `planted-faults`
//! reads `MAINSTAY_PLANTED_FAULT` and misbehaves in one way; each way has a scenario made to
//! expose it. The scenario runs twice: with the fault it must be judged broken, for one of the
//! reasons that fit, and without it must pass. On etcd, which has no such build, two of the faults
//! are made from outside: a flag that leaves out the fdatasync, and reads sent as serializable.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use mainstay_model::{Operation, Request, Rule, Watcher};
use mainstay_proto::etcdserverpb as pb;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    call,
    cluster::{HEAL_TIMEOUT, Setup},
    connection::Connection,
    faults::{self, Fault},
    load::Plan,
    options::Options,
    recorder::Recorder,
    session::{Findings, Session},
    tally::Tally,
    watching,
};

/// One planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    /// A write is acknowledged although its log record is not on the disk.
    AckBeforeFsync,
    /// A linearizable read is served from the member's own state.
    ReadWithoutReadIndex,
    /// The applied index is committed apart from the effects of its entry.
    AppliedIndexApart,
    /// Progress is sent before events that are still queued.
    ProgressBeforeEvents,
}

const ALL: [Planted; 4] = [
    Planted::AckBeforeFsync,
    Planted::ReadWithoutReadIndex,
    Planted::AppliedIndexApart,
    Planted::ProgressBeforeEvents,
];

/// Power cuts, or kills, of one scenario.
const ROUNDS: u32 = 5;

/// Stale reads are looked for this often.
const READ_ROUNDS: u32 = 12;

/// Ids of clients that only these scenarios have.
const READERS: u32 = 100;
const WRITER: u32 = 99;
const CLOSE_WATCHERS: u32 = 120;

impl Planted {
    fn name(self) -> &'static str {
        match self {
            Planted::AckBeforeFsync => "ack-before-fsync",
            Planted::ReadWithoutReadIndex => "read-without-read-index",
            Planted::AppliedIndexApart => "applied-index-apart",
            Planted::ProgressBeforeEvents => "progress-before-events",
        }
    }

    fn needs_mounts(self) -> bool {
        self == Planted::AckBeforeFsync
    }

    /// Whether the scenario itself can make etcd misbehave so.
    fn can_be_made_on_etcd(self) -> bool {
        matches!(
            self,
            Planted::AckBeforeFsync | Planted::ReadWithoutReadIndex
        )
    }

    /// Whether the findings are what this fault leads to. Another failure would be luck, or a
    /// broken scenario.
    fn explains(self, findings: &Findings) -> bool {
        let broke = |rules: &[Rule]| {
            findings
                .violations
                .iter()
                .any(|violation| rules.contains(&violation.rule))
        };
        let lost = [
            Rule::Truth,
            Rule::Ownership,
            Rule::UnknownWrite,
            Rule::Orphan,
        ];
        match self {
            Planted::AckBeforeFsync => {
                broke(&lost) || broke(&[Rule::RealTime]) || !findings.converged
            }
            Planted::ReadWithoutReadIndex => broke(&[Rule::RealTime]),
            // A member that refuses to go on from such a state has noticed it too.
            Planted::AppliedIndexApart => broke(&lost) || !findings.converged,
            Planted::ProgressBeforeEvents => broke(&[Rule::WatchBookmarkable]),
        }
    }
}

/// # Errors
/// If it cannot be carried out on this machine.
pub async fn run(options: &Options, tally: &mut Tally) -> anyhow::Result<()> {
    let chosen = |planted: &&Planted| {
        options
            .fault
            .as_ref()
            .is_none_or(|fault| fault == planted.name())
    };
    let chosen: Vec<&Planted> = ALL.iter().filter(chosen).collect();
    if chosen.is_empty() {
        bail!(
            "no planted fault of that name; there are {:?}",
            ALL.map(Planted::name)
        );
    }
    for &planted in chosen {
        if planted.needs_mounts() && !options.mounts {
            println!(
                "left out: {} (mounting a file system needs root)",
                planted.name()
            );
            continue;
        }
        if options.is_etcd() && !planted.can_be_made_on_etcd() {
            println!(
                "left out: {} (etcd has no build with planted faults)",
                planted.name()
            );
            continue;
        }
        judge(options, planted, tally).await?;
    }
    Ok(())
}

async fn judge(options: &Options, planted: Planted, tally: &mut Tally) -> anyhow::Result<()> {
    let name = planted.name();
    println!("--- {name}: switched off, must pass");
    let mut inner = Tally::default();
    let options = Options {
        bin: options.planted_bin.clone(),
        ..options.clone()
    };
    play(&options, planted, false, &mut inner).await?;
    let failed = inner.failed;
    println!("--- {name}: switched on, must fail");
    let mut inner = Tally::wanting_failure();
    let findings = play(&options, planted, true, &mut inner).await?;
    println!("---");
    let off = if failed == 0 {
        Ok(())
    } else {
        Err(format!("{failed} checks failed"))
    };
    tally.outcome(&format!("{name}: passes without the fault"), off);
    let on = if planted.explains(&findings) {
        Ok(())
    } else {
        Err(format!(
            "not caught: {} checks failed, none for this reason",
            inner.failed
        ))
    };
    tally.outcome(&format!("{name}: is caught"), on);
    Ok(())
}

async fn play(
    options: &Options,
    planted: Planted,
    on: bool,
    tally: &mut Tally,
) -> anyhow::Result<Findings> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let mut setup = Setup {
        members: options.members,
        ..Setup::default()
    };
    if on {
        let variable = (
            "MAINSTAY_PLANTED_FAULT".to_owned(),
            planted.name().to_owned(),
        );
        setup.environment.push(variable);
    }
    if on && planted == Planted::AckBeforeFsync && options.is_etcd() {
        setup.arguments.push("--unsafe-no-fsync".to_owned());
    }
    if planted == Planted::AckBeforeFsync {
        // One member has nobody to hand a lost write back.
        setup.members = 1;
    }
    let busy = Plan {
        pause: 3,
        leases: false,
        compaction: false,
        ..Plan::default()
    };
    let name = format!("{}-{}", planted.name(), if on { "on" } else { "off" });
    let mut session = Session::start(options, &name, &setup, busy, &mut random).await?;
    let played = match planted {
        Planted::AckBeforeFsync => cut_power(&mut session).await,
        Planted::ReadWithoutReadIndex => {
            let stale = on && options.is_etcd();
            read_after_pauses(&mut session, stale, &mut random).await
        }
        Planted::AppliedIndexApart => kill_in_apply(&mut session, &mut random).await,
        Planted::ProgressBeforeEvents => ask_for_progress(&mut session).await,
    };
    // With the fault the cluster may be beyond healing; what it had done until then is judged.
    tally.outcome("the scenario was played to its end", played);
    session.finish(tally).await
}

/// Takes the power from all members again and again, under load.
async fn cut_power(session: &mut Session) -> anyhow::Result<()> {
    let all: Vec<usize> = (0..session.cluster.members.len()).collect();
    // What every kernel would have written by now; without it a server that never syncs loses
    // even its first entry and stands for nothing.
    for member in &session.cluster.members {
        member.disk.sync()?;
    }
    for _ in 0..ROUNDS {
        sleep(Duration::from_millis(1500)).await;
        let start = session.recorder.now();
        faults::power_cut(&mut session.cluster, &all)?;
        session.cluster.heal()?;
        session.cluster.wait_healthy(HEAL_TIMEOUT).await?;
        session.recorder.fault("power cut of all", start);
    }
    Ok(())
}

/// Stops a follower, writes through the leader, asks the follower while it is stopped and lets it
/// go on: its first answers come before it has caught up. Then the same with a deposed leader.
async fn read_after_pauses(
    session: &mut Session,
    stale: bool,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    for round in 0..READ_ROUNDS {
        let Some(leader) = session.cluster.leader().await else {
            continue;
        };
        let count = session.cluster.members.len();
        let follower = (leader + 1 + round as usize) % count;
        let start = session.recorder.now();
        if follower == leader {
            faults::inject(Fault::PauseLeader, &mut session.cluster, random).await?;
            session.cluster.heal()?;
            session.cluster.wait_healthy(HEAL_TIMEOUT).await?;
            session.recorder.fault(Fault::PauseLeader.name(), start);
            continue;
        }
        session.cluster.members[follower].pause()?;
        let mut writer = session.client(WRITER, Some(leader))?;
        for number in 0..20 {
            let value = format!("w{round}-{number}");
            writer.call_at_once(Request::put("k0", &value)).await;
        }
        let readers = read_at_once(session, follower, stale)?;
        sleep(Duration::from_millis(50)).await;
        session.cluster.members[follower].resume()?;
        readers.join_all().await;
        session.recorder.fault(Fault::PauseFollower.name(), start);
        sleep(Duration::from_millis(random.random_range(100..400))).await;
    }
    Ok(())
}

/// Sends reads of one key from several clients to one member.
fn read_at_once(session: &Session, member: usize, stale: bool) -> anyhow::Result<JoinSet<()>> {
    let mut readers = JoinSet::new();
    for id in READERS..READERS + 6 {
        let connection = session.cluster.connect()?.swap_remove(member);
        let recorder = Arc::clone(&session.recorder);
        readers.spawn(async move {
            for _ in 0..3 {
                read(&connection, &recorder, id, stale).await;
            }
        });
    }
    Ok(readers)
}

/// Reads and records a linearizable read. With `stale` the server is asked for less than is
/// recorded, which is this fault as a client sees it.
async fn read(connection: &Connection, recorder: &Recorder, client: u32, stale: bool) {
    let request = Request::get("k0");
    let mut sent = request.clone();
    if let Request::Range { serializable, .. } = &mut sent {
        *serializable = stale;
    }
    let call = recorder.now();
    let outcome = call::execute(connection, &sent, Duration::from_secs(3)).await;
    let (member, ret) = (connection.member, recorder.now());
    recorder.operation(Operation {
        client,
        member,
        call,
        ret,
        request,
        outcome,
    });
}

/// Makes a member write its state out and kills it in the middle of the load, so that a restart
/// begins from whatever had been committed together.
async fn kill_in_apply(session: &mut Session, random: &mut StdRng) -> anyhow::Result<()> {
    for round in 0..2 * ROUNDS {
        sleep(Duration::from_millis(random.random_range(600..1500))).await;
        let start = session.recorder.now();
        let victim = round as usize % session.cluster.members.len();
        let mut maintenance = session.cluster.probe(victim).maintenance();
        let defragment = maintenance.defragment(pb::DefragmentRequest {});
        // Whether it answers does not matter, only that the state is being flushed.
        let _ = tokio::time::timeout(Duration::from_millis(300), defragment).await;
        sleep(Duration::from_millis(random.random_range(0..30))).await;
        session.cluster.members[victim].kill()?;
        session.cluster.heal()?;
        session.cluster.wait_healthy(HEAL_TIMEOUT).await?;
        session.recorder.fault("kill -9 in apply", start);
    }
    Ok(())
}

/// Watches everything on every member and asks for progress all the time, under load.
async fn ask_for_progress(session: &mut Session) -> anyhow::Result<()> {
    let life = Duration::from_secs(10);
    for id in CLOSE_WATCHERS..CLOSE_WATCHERS + 6 {
        let mut connections = session.cluster.connect()?;
        let connection = connections.swap_remove(id as usize % connections.len());
        let recorder = Arc::clone(&session.recorder);
        session.spawn(async move {
            let mut watcher = Watcher {
                client: id,
                member: connection.member,
                key: "\0".to_owned(),
                range_end: "\0".to_owned(),
                start_revision: i64::from(id % 2),
                prev_kv: false,
                no_put: false,
                no_delete: false,
                replies: Vec::new(),
            };
            let rhythm = Duration::from_millis(2);
            // No member dies here, and a stream that ends early shows less, never something wrong.
            let _ = watching::follow(&connection, &mut watcher, &recorder, life, rhythm).await;
            recorder.watcher(watcher);
        });
    }
    sleep(life).await;
    Ok(())
}
