//! What an operator wants this member to be: a small file that is read again when it changes.
//!
//! ```json
//! {"mode": "join", "clusterID": "cdf818194e3a8c32", "incarnation": 2}
//! ```
//!
//! - `mode`: `bootstrap` (an empty directory forms the cluster of `--initial-cluster`), `restore` (it
//!   does so with the content of `snapshot`), `join` (an empty directory joins a running one),
//!   `forceNew` (the data becomes a cluster of its own), or `hold` (nothing starts).
//! - `clusterID`: hexadecimal; may be left out. Another cluster's data, or another cluster that would
//!   be joined, is refused.
//! - `initialCluster`: as the flag `--initial-cluster` has it, and instead of it; may be left out. It
//!   may be another one each time, as the members are others when this one joins.
//! - `snapshot`: with `restore`, the file of a backup; once the directory holds it, it is deleted.
//!   `bumpRevision` raises the restored store's revision by so much, and all before it counts as
//!   compacted; may be left out.
//! - `incarnation`: counts the lives of this place in the cluster. It is kept in the directory. A
//!   later one lets a removed member start over: its old data is moved aside and it joins anew.
//!
//! Anything that does not fit leaves the process alive and not ready, with the reason on `/readyz`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_raft::identity::Kept;
use serde_json::{Map, Value};

use crate::flags::cluster::{self, Members};

/// How often the file is looked at.
pub const LOOK: Duration = Duration::from_secs(1);

/// Beside the identity: the incarnation that the directory is of.
const INCARNATION: &str = "incarnation";

const FIELDS: [&str; 6] = [
    "mode",
    "clusterID",
    "incarnation",
    "initialCluster",
    "snapshot",
    "bumpRevision",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Bootstrap,
    Restore,
    Join,
    ForceNew,
    Hold,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    pub mode: Mode,
    pub cluster: Option<u64>,
    pub incarnation: u64,
    /// Who forms the cluster, or of whom to ask the way into it.
    pub members: Option<Members>,
    /// There exactly with `Mode::Restore`.
    pub restore: Option<Restore>,
}

/// What a cluster begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    pub snapshot: PathBuf,
    /// By how much the revision is raised; 0 leaves it.
    pub bump_revision: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, for this reason.
    Wait(String),
    Form,
    /// An empty directory gets the content of a snapshot; then what it holds decides.
    Restore,
    Join,
    /// With the data that is there.
    Go,
    ForceNew,
    /// The data goes aside; then as `Join`.
    StartOver,
}

/// Reads the file. The error is a reason to wait.
pub fn read(path: &Path) -> Result<Intent, String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("intent {}: {error}", path.display()))?;
    parse(&text).map_err(|reason| format!("intent {}: {reason}", path.display()))
}

fn parse(text: &str) -> Result<Intent, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let fields = value.as_object().ok_or("it is no JSON object")?;
    if let Some(odd) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!("field {odd:?} is not known"));
    }
    let mode = match fields.get("mode").and_then(Value::as_str) {
        Some("bootstrap") => Mode::Bootstrap,
        Some("restore") => Mode::Restore,
        Some("join") => Mode::Join,
        Some("forceNew") => Mode::ForceNew,
        Some("hold") => Mode::Hold,
        _ => return Err("mode must be bootstrap, restore, join, forceNew or hold".to_owned()),
    };
    let cluster = match fields.get("clusterID") {
        None => None,
        Some(id) => {
            let id = id.as_str().and_then(|id| u64::from_str_radix(id, 16).ok());
            Some(id.ok_or("clusterID must be a hexadecimal text")?)
        }
    };
    let members = match fields.get("initialCluster") {
        None => None,
        Some(list) => {
            let list = list.as_str().ok_or("initialCluster must be a text")?;
            let members = cluster::parse(list);
            Some(members.map_err(|reason| format!("initialCluster: {reason}"))?)
        }
    };
    let incarnation = fields.get("incarnation").and_then(Value::as_u64);
    Ok(Intent {
        mode,
        cluster,
        incarnation: incarnation.ok_or("incarnation must be a number from 0 on")?,
        members,
        restore: restore(mode, fields)?,
    })
}

fn restore(mode: Mode, fields: &Map<String, Value>) -> Result<Option<Restore>, String> {
    let (snapshot, bump) = (fields.get("snapshot"), fields.get("bumpRevision"));
    if mode != Mode::Restore {
        return match (snapshot, bump) {
            (None, None) => Ok(None),
            _ => Err("snapshot and bumpRevision go with the mode restore".to_owned()),
        };
    }
    let snapshot = snapshot.and_then(Value::as_str).map(PathBuf::from);
    let snapshot = snapshot.filter(|path| path.is_absolute());
    let bump_revision = match bump {
        None => Some(0),
        // A revision is an i64.
        Some(bump) => bump.as_u64().filter(|bump| i64::try_from(*bump).is_ok()),
    };
    Ok(Some(Restore {
        snapshot: snapshot.ok_or("with the mode restore, snapshot must be an absolute path")?,
        bump_revision: bump_revision.ok_or("bumpRevision must be a number from 0 on")?,
    }))
}

/// What follows from an intent and what the directory holds: the member kept in it, and the
/// incarnation it is of.
pub fn decide(intent: &Intent, kept: Option<&Kept>, incarnation: u64) -> Decision {
    let wait = |reason: String| Decision::Wait(reason);
    let Some(kept) = kept else {
        return match intent.mode {
            Mode::Hold => wait("the intent is to hold".to_owned()),
            Mode::Bootstrap => Decision::Form,
            Mode::Restore => Decision::Restore,
            Mode::Join => Decision::Join,
            Mode::ForceNew => wait("there is no data to make a cluster of".to_owned()),
        };
    };
    let wanted = intent.incarnation;
    if intent.mode == Mode::Hold {
        return wait("the intent is to hold".to_owned());
    }
    if wanted < incarnation {
        return wait(format!(
            "the intent is of incarnation {wanted}, the data of {incarnation}"
        ));
    }
    if wanted > incarnation && intent.mode == Mode::Join {
        return Decision::StartOver;
    }
    if let Some(reason) = foreign(intent, kept.identity.cluster) {
        return wait(reason);
    }
    if kept.removed {
        return wait(format!(
            "this member was removed from its cluster; an intent to join of an incarnation after \
             {incarnation} lets it start over"
        ));
    }
    match (wanted > incarnation, intent.mode) {
        (true, Mode::ForceNew) => Decision::ForceNew,
        (true, _) => wait(format!(
            "the intent is to form a cluster, and there is data of incarnation {incarnation}"
        )),
        (false, _) => Decision::Go,
    }
}

/// Why a cluster is not the one that the intent names.
pub fn foreign(intent: &Intent, cluster: u64) -> Option<String> {
    let named = intent.cluster?;
    (named != cluster).then(|| format!("the intent names cluster {named:x}, this is {cluster:x}"))
}

/// The incarnation that a member's directory is of; 0 where none was ever noted.
pub fn incarnation(member_dir: &Path) -> Result<u64, String> {
    let path = member_dir.join(INCARNATION);
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("{} holds no number", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Notes it for good.
pub fn save_incarnation(member_dir: &Path, incarnation: u64) -> std::io::Result<()> {
    let temporary = member_dir.join("incarnation.tmp");
    let mut file = fs::File::create(&temporary)?;
    writeln!(file, "{incarnation}")?;
    file.sync_all()?;
    fs::rename(&temporary, member_dir.join(INCARNATION))?;
    fs::File::open(member_dir)?.sync_all()
}

/// Moves a directory aside, under the number of its incarnation. Nothing is lost by it.
pub fn set_aside(dir: &Path, incarnation: u64) -> std::io::Result<PathBuf> {
    let mut aside = dir.as_os_str().to_owned();
    aside.push(format!(".{incarnation}"));
    let aside = PathBuf::from(aside);
    fs::rename(dir, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use mainstay_raft::Identity;

    use super::*;

    fn intent(mode: Mode, incarnation: u64) -> Intent {
        Intent {
            mode,
            cluster: Some(7),
            incarnation,
            members: None,
            restore: None,
        }
    }

    fn kept(cluster: u64, removed: bool) -> Kept {
        Kept {
            identity: Identity { member: 1, cluster },
            joined: true,
            removed,
        }
    }

    #[test]
    fn files_say_what_they_mean_or_what_is_wrong() {
        let text = r#"{"mode": "join", "clusterID": "7", "incarnation": 2}"#;
        assert_eq!(parse(text), Ok(intent(Mode::Join, 2)));
        let bare = parse(r#"{"mode": "hold", "incarnation": 0}"#).unwrap();
        assert_eq!((bare.mode, bare.cluster), (Mode::Hold, None));
        let list = r#"{"mode": "join", "incarnation": 1, "initialCluster": "a=http://h:1"}"#;
        let members = vec![("a".to_owned(), vec!["http://h:1".to_owned()])];
        assert_eq!(parse(list).unwrap().members, Some(members));
        let text =
            r#"{"mode": "restore", "incarnation": 1, "snapshot": "/a.db", "bumpRevision": 5}"#;
        let expected = Restore {
            snapshot: PathBuf::from("/a.db"),
            bump_revision: 5,
        };
        assert_eq!(parse(text).unwrap().restore, Some(expected));
        for (wrong, reason) in [
            ("", "EOF"),
            (
                r#"{"mode": "restore", "incarnation": 1}"#,
                "snapshot must be",
            ),
            (
                r#"{"mode": "restore", "incarnation": 1, "snapshot": "a.db"}"#,
                "snapshot must be an absolute path",
            ),
            (
                r#"{"mode": "restore", "incarnation": 1, "snapshot": "/a", "bumpRevision": -1}"#,
                "bumpRevision must be",
            ),
            (
                r#"{"mode": "bootstrap", "incarnation": 1, "snapshot": "/a"}"#,
                "go with the mode restore",
            ),
            ("[]", "no JSON object"),
            (r#"{"mode": "go", "incarnation": 1}"#, "mode must be"),
            (r#"{"mode": "join"}"#, "incarnation must be"),
            (
                r#"{"mode": "join", "incarnation": -1}"#,
                "incarnation must be",
            ),
            (
                r#"{"mode": "join", "clusterID": 7, "incarnation": 1}"#,
                "clusterID must be",
            ),
            (
                r#"{"mode": "join", "incarnation": 1, "initialCluster": "a"}"#,
                "initialCluster: empty URL",
            ),
            (
                r#"{"mode": "join", "incarnation": 1, "x": 1}"#,
                "\"x\" is not known",
            ),
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains(reason), "{wrong}: {said}");
        }
    }

    #[test]
    fn an_empty_directory_does_what_is_wanted() {
        let empty = |mode| decide(&intent(mode, 1), None, 0);
        assert_eq!(empty(Mode::Bootstrap), Decision::Form);
        assert_eq!(empty(Mode::Restore), Decision::Restore);
        assert_eq!(empty(Mode::Join), Decision::Join);
        assert!(matches!(empty(Mode::ForceNew), Decision::Wait(_)));
        assert!(matches!(empty(Mode::Hold), Decision::Wait(_)));
    }

    #[test]
    fn data_is_used_only_by_an_intent_that_fits_it() {
        let data = |mode, incarnation| decide(&intent(mode, incarnation), Some(&kept(7, false)), 2);
        assert_eq!(data(Mode::Join, 2), Decision::Go);
        assert_eq!(data(Mode::Bootstrap, 2), Decision::Go);
        // What has been restored is never restored again.
        assert_eq!(data(Mode::Restore, 2), Decision::Go);
        assert_eq!(data(Mode::ForceNew, 2), Decision::Go);
        assert_eq!(data(Mode::ForceNew, 3), Decision::ForceNew);
        assert_eq!(data(Mode::Join, 3), Decision::StartOver);
        for (mode, incarnation) in [
            (Mode::Bootstrap, 3),
            (Mode::Restore, 3),
            (Mode::Join, 1),
            (Mode::Hold, 2),
        ] {
            let decision = data(mode, incarnation);
            assert!(
                matches!(decision, Decision::Wait(_)),
                "{mode:?} {incarnation}"
            );
        }
        let foreign = decide(&intent(Mode::Join, 2), Some(&kept(8, false)), 2);
        let Decision::Wait(reason) = foreign else {
            panic!("{foreign:?}");
        };
        assert_eq!(reason, "the intent names cluster 7, this is 8");
    }

    #[test]
    fn a_removed_member_starts_over_in_its_next_life() {
        let removed =
            |incarnation| decide(&intent(Mode::Join, incarnation), Some(&kept(7, true)), 2);
        assert!(matches!(removed(2), Decision::Wait(_)));
        assert_eq!(removed(3), Decision::StartOver);
    }

    #[test]
    fn incarnations_are_kept_and_old_data_goes_aside() {
        let dir = tempfile::tempdir().unwrap();
        let member = dir.path().join("member");
        fs::create_dir(&member).unwrap();
        assert_eq!(incarnation(&member), Ok(0));
        save_incarnation(&member, 3).unwrap();
        assert_eq!(incarnation(&member), Ok(3));
        let aside = set_aside(&member, 3).unwrap();
        assert!(aside.ends_with("member.3") && aside.exists() && !member.exists());
    }
}
