//! From settings to a member that runs: once, or, with a file that says what the member is to be, as
//! often as that file changes.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mainstay_api::{Kept, Waiting};
use mainstay_raft::identity;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::data_dir::{DataDir, MEMBER, WAL};
use crate::flags::cluster::Members;
use crate::intent::{self, Decision, Intent};
use crate::listeners::Doors;
use crate::member::{self, Ended, Watched};
use crate::settings::Settings;
use crate::stop::{self, Told};
use crate::tls::{self, Sides};
use crate::{gate, open_files, restoration};

/// A cluster that did not take this member in is asked again after this time: an operator may write
/// the intent first and add the member then.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Runs the member until it is told to stop or can no longer keep its promises.
pub async fn run(settings: Settings) -> Result<()> {
    open_files::raise();
    tls::check(&settings)?;
    // Watched from the first moment: joining or forming a cluster may take as long as its operator.
    let mut told = stop::signals()?;
    if let Some(file) = settings.intent_file.clone() {
        let sides = tls::open(&settings)?;
        return follow(settings, &file, &sides, &mut told).await;
    }
    let dir = DataDir::open(&settings.data_dir, settings.wal_dir.as_deref())?;
    let sides = tls::open(&settings)?;
    match member::run(&settings, dir, &sides, &mut told, None).await? {
        // A removed member ends like one that was told to (etcd).
        Ended::Told | Ended::Removed | Ended::Changed => Ok(()),
        Ended::Refused(reason) => bail!(reason),
    }
}

/// Does what the file says, once, and waits where it says nothing that can be done.
async fn follow(mut settings: Settings, file: &Path, sides: &Sides, told: &mut Told) -> Result<()> {
    loop {
        let read = intent::read(file);
        let snapshot = restoration::trace(read.as_ref().ok());
        let mut decision = match &read {
            Ok(intent) => decide(&settings, intent)?,
            Err(reason) => Decision::Wait(reason.clone()),
        };
        if let (Ok(intent), Decision::Restore) = (&read, &decision) {
            let restored = tokio::select! {
                restored = restoration::run(&settings, intent) => restored,
                () = wait(&settings, sides, "a snapshot is being restored") => continue,
                signal = told.recv() => return stopped(signal),
            };
            match restored {
                Ok(()) => continue,
                Err(reason) => decision = Decision::Wait(reason),
            }
        }
        let (Ok(intent), false) = (&read, matches!(decision, Decision::Wait(_))) else {
            let Decision::Wait(reason) = decision else {
                continue;
            };
            tokio::select! {
                () = wait(&settings, sides, &reason) => {}
                () = changed(file, &read) => {}
                () = restoration::mended(read.as_ref().ok(), snapshot) => {}
                signal = told.recv() => return stopped(signal),
            }
            continue;
        };
        restoration::clear(intent);
        if decision == Decision::StartOver {
            start_over(&settings)?;
        }
        settings.join = matches!(decision, Decision::Join | Decision::StartOver);
        settings.force_new_cluster = decision == Decision::ForceNew;
        if let Some(members) = &intent.members {
            settings.initial_cluster = members.clone();
        }
        let dir = DataDir::open(&settings.data_dir, settings.wal_dir.as_deref())?;
        let watched = Watched {
            intent: intent.clone(),
            file: file.to_owned(),
        };
        match member::run(&settings, dir, sides, told, Some(&watched)).await? {
            Ended::Told => return Ok(()),
            Ended::Removed | Ended::Changed => {}
            Ended::Refused(reason) => tokio::select! {
                () = wait(&settings, sides, &reason) => {}
                () = changed(file, &read) => {}
                () = sleep(ASK_AGAIN) => {}
                signal = told.recv() => return stopped(signal),
            },
        }
        return begin_anew();
    }
}

/// Becomes the program once more, under the same process id: whatever of the former life is still
/// open (connections, files of the store) ends with it, and a supervisor sees nothing.
fn begin_anew() -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let program = std::env::current_exe().context("this program")?;
    tracing::info!("beginning anew");
    let failed = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(failed).context("beginning anew")
}

fn stopped(signal: &str) -> Result<()> {
    tracing::info!(signal, "told to stop while there was nothing to run");
    Ok(())
}

fn decide(settings: &Settings, intent: &Intent) -> Result<Decision> {
    let member = settings.data_dir.join(MEMBER);
    if let Some(reason) = stranger(settings, intent) {
        return Ok(Decision::Wait(reason));
    }
    let kept = identity::load(&member)?;
    let incarnation = match intent::incarnation(&member) {
        Ok(incarnation) => incarnation,
        Err(reason) => return Ok(Decision::Wait(reason)),
    };
    Ok(intent::decide(intent, kept.as_ref(), incarnation))
}

/// Why this member is none of those that its intent lists: it must be among them as it advertises
/// itself, as with the flag.
fn stranger(settings: &Settings, intent: &Intent) -> Option<String> {
    let name = &settings.name;
    let of_name = |members: &Members| {
        let mut members = members.iter();
        members.find_map(|(member, urls)| (member == name).then(|| urls.join(",")))
    };
    let listed = of_name(intent.members.as_ref()?);
    // Without the flag the list is this member alone, as it advertises itself.
    match (listed, of_name(&settings.initial_cluster)) {
        (None, _) => Some(format!(
            "{name:?} is not in the initialCluster of its intent"
        )),
        (Some(listed), Some(own)) if listed != own => Some(format!(
            "the intent's initialCluster has {name}={listed}, this member advertises {own}"
        )),
        _ => None,
    }
}

/// Moves what the former life has left out of the way.
fn start_over(settings: &Settings) -> Result<()> {
    let member = settings.data_dir.join(MEMBER);
    let incarnation = intent::incarnation(&member).map_err(anyhow::Error::msg)?;
    if let Some(wal) = settings.wal_dir.as_deref().filter(|wal| wal.exists()) {
        intent::set_aside(wal, incarnation).context("the log's directory")?;
    }
    let aside = intent::set_aside(&member, incarnation).context("the member's directory")?;
    tracing::warn!(aside = %aside.display(), "the data of a former member was set aside");
    Ok(())
}

/// Answers probes until it is dropped. A port that is in use now may be free when asked again.
async fn wait(settings: &Settings, sides: &Sides, reason: &str) {
    loop {
        match Doors::bind(settings, sides.client.as_ref()) {
            Ok(doors) => {
                let reason = reason.to_owned();
                let kept = kept(settings).await;
                gate::answer(&doors.all(), Waiting { reason, kept }).await;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "probes are not answered");
            }
        }
        sleep(intent::LOOK).await;
    }
}

/// What the directory holds of a member, for an operator that has to choose among those which are
/// left. The log is read whole, and only here, where nothing else is done.
async fn kept(settings: &Settings) -> Option<Kept> {
    let member = settings.data_dir.join(MEMBER);
    let identity = identity::load(&member).ok()??.identity;
    let log = settings.wal_dir.clone();
    let log = log.unwrap_or_else(|| member.join(WAL));
    let read = spawn_blocking(move || mainstay_wal::last_entry(&log)).await;
    let log_end = match read {
        Ok(Ok(last)) => last.map(|last| (last.term, last.index)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the log of the member at rest cannot be read");
            None
        }
        Err(_) => None,
    };
    Some(Kept {
        name: settings.name.clone(),
        member: identity.member,
        cluster: identity.cluster,
        log_end,
    })
}

/// Returns once the file says something else than was read.
async fn changed(file: &Path, before: &Result<Intent, String>) {
    while intent::read(file) == *before {
        sleep(intent::LOOK).await;
    }
}
