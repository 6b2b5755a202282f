//! The node as its user sees it: up, used, down.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places, process};

use crate::folder::Folder;
use crate::kubectl::Kubectl;
use crate::order::Order;
use crate::traces::Traces;
use crate::{NAME, cgroup, identity, image, keeper, network, tools};

/// How long the first process may take to appear, and the cable to go.
const PROCESS_LIMIT: Duration = Duration::from_secs(20);

/// What the API server keeps its objects in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Datastore {
    /// The peers' etcd.
    #[default]
    Etcd,
    /// A Mainstay server.
    Mainstay(PathBuf),
}

/// What to bring up.
#[derive(Clone, Debug)]
pub struct Options {
    pub folder: Folder,
    /// The folder of the peers, with those of `tests/xtask/src/peers.rs` for a node.
    pub peers: PathBuf,
    pub datastore: Datastore,
    /// Archives of images to have from the start; the pause image is always there.
    pub images: Vec<PathBuf>,
    /// The folder of `mainstay-cluster` and `mainstay-pause`.
    pub programs: PathBuf,
}

impl Options {
    /// A node in the cache on etcd, with the programs that lie beside the caller's.
    pub fn of_cache() -> Result<Self> {
        let caller = std::env::current_exe().context("no path of this program")?;
        let programs = caller.parent().context("this program lies nowhere")?;
        Ok(Self {
            folder: Folder::of_cache()?,
            peers: places::peers()?,
            datastore: Datastore::Etcd,
            images: Vec::new(),
            programs: programs.to_path_buf(),
        })
    }
}

/// A node that is up. Dropping it leaves it up: [`Node::down`] takes it down, for whoever made it.
#[derive(Debug)]
pub struct Node {
    pub folder: Folder,
    pub kubectl: Kubectl,
    /// The process that holds the namespaces, if this program started it.
    holder: Option<Child>,
    /// Keeps other runs from replacing the node while this program uses it.
    lock: Option<File>,
}

impl Node {
    /// Brings a node up in the background and waits until it can be used, saying each step.
    ///
    /// What an earlier node left, running or not, is taken down first, unless another program is
    /// using it. On failure nothing stays but the logs.
    pub fn up(options: &Options) -> Result<Self> {
        check_root()?;
        tools::check()?;
        cgroup::check()?;
        let lock = lock(&options.folder)?;
        clear(&options.folder)?;
        network::check_free()?;
        let holder = prepare(options).and_then(|()| start(options));
        match holder {
            Ok(holder) => Ok(Self {
                folder: options.folder.clone(),
                kubectl: Kubectl {
                    program: options.peers.join("kubectl"),
                    kubeconfig: options.folder.kubeconfig(),
                    namespace: None,
                },
                holder: Some(holder),
                lock: Some(lock),
            }),
            Err(error) => {
                clear(&options.folder).context("and cannot clear what was begun")?;
                Err(error.context(format!(
                    "the logs are in {}",
                    options.folder.logs().display()
                )))
            }
        }
    }

    /// The node that an earlier `up` left running.
    pub fn attach(folder: &Folder) -> Result<Self> {
        let order = Order::read(&folder.order()).context("no node is up")?;
        if cgroup::first_process()?.is_none() {
            bail!("the node is not running any more");
        }
        Ok(Self {
            folder: folder.clone(),
            kubectl: Kubectl {
                program: order.peer("kubectl"),
                kubeconfig: folder.kubeconfig(),
                namespace: None,
            },
            holder: None,
            lock: None,
        })
    }

    /// Gives the node an image, from an archive as `image.rs` makes it.
    pub fn load(&self, archive: &Path) -> Result<()> {
        keeper::import(&self.folder, archive)
    }

    /// An error if a program of the node has ended since it was up.
    pub fn check(&self) -> Result<()> {
        let complaints = keeper::complaints(&self.folder)?;
        if !complaints.is_empty() {
            bail!("{}", complaints.join("; "));
        }
        Ok(())
    }

    /// Takes the node down, see [`down`].
    pub fn down(mut self) -> Result<()> {
        let _lock = match self.lock.take() {
            Some(held) => held,
            None => lock(&self.folder)?,
        };
        clear(&self.folder)?;
        if let Some(holder) = &mut self.holder {
            holder
                .wait()
                .context("cannot wait for the node's process")?;
        }
        Ok(())
    }
}

/// Takes down whatever node there is, also what a killed run left of one. Only logs stay.
pub fn down(folder: &Folder) -> Result<()> {
    check_root()?;
    let _lock = lock(folder)?;
    clear(folder)
}

fn check_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs namespaces, mounts and control groups, so only root can run one");
    }
    Ok(())
}

/// Held while the node changes and as long as a suite uses it. Whoever comes second is told so
/// instead of taking the node from under the first.
fn lock(folder: &Folder) -> Result<File> {
    let path = folder.path().with_extension("lock");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another run is using the node; wait or end it"),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the node"),
    }
}

/// Everything on disk that the node starts from.
fn prepare(options: &Options) -> Result<()> {
    let folder = &options.folder;
    let logs = folder.logs();
    let _ = fs::remove_dir_all(&logs);
    for path in ["logs", "etc", "cni/conf", "pods", "volumes", "containerd"] {
        let path = folder.join(path);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    // Keys lie in it, and the Secrets of whatever runs on the node.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    Traces::note(folder)?;
    identity::write(folder)?;
    let pause = folder.join("etc/pause.tar");
    image::pause(&options.programs.join("mainstay-pause")).write(&pause)?;
    let order = Order {
        folder: folder.clone(),
        peers: fs::canonicalize(&options.peers).context("the peers are not built")?,
        datastore: match &options.datastore {
            Datastore::Etcd => options.peers.join("etcd"),
            Datastore::Mainstay(server) => server.clone(),
        },
        images: [vec![pause], options.images.clone()].concat(),
    };
    order.write()
}

/// Starts the first process in its namespaces, lays the cable and waits until all is ready.
fn start(options: &Options) -> Result<Child> {
    let folder = &options.folder;
    let group = cgroup::create()?;
    let log = File::create(folder.progress()).context("cannot write the keeper's log")?;
    // The shell joins the group before anything is forked, so nothing can get lost. A session of
    // its own lets the node outlive the terminal.
    let join = "echo $$ > \"$0\" && exec setsid unshare --mount --net --pid --fork --kill-child \
                --mount-proc -- \"$@\"";
    let mut holder = Command::new("sh")
        .args(["-c", join])
        .arg(&group)
        .arg(options.programs.join("mainstay-cluster"))
        .arg("keeper")
        .arg(folder.order())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the node's first process")?;
    let mut first = None;
    process::wait_until("the node's first process", PROCESS_LIMIT, || {
        first = cgroup::first_process()?;
        Ok(first.is_some() || holder.try_wait()?.is_some())
    })?;
    network::connect(first.context("the node ended at once")?)?;
    follow(&folder.progress(), &mut holder)?;
    Ok(holder)
}

/// Repeats what the keeper prints until it says that the node is ready.
fn follow(progress: &Path, holder: &mut Child) -> Result<()> {
    let mut file = File::open(progress).context("no log of the keeper")?;
    let mut seen = 0;
    loop {
        // Asked before reading: what a process wrote before it ended is then still read.
        let ended = holder.try_wait()?;
        let mut text = String::new();
        file.seek(SeekFrom::Start(seen))?;
        file.read_to_string(&mut text)?;
        let whole = text
            .rfind('\n')
            .map_or("", |end| text.get(..=end).unwrap_or_default());
        seen += whole.len() as u64;
        for line in whole.lines() {
            println!("{NAME}: {line}");
        }
        if whole.lines().any(|line| line == keeper::READY) {
            return Ok(());
        }
        if let Some(status) = ended {
            bail!("the node ended with {status}");
        }
        if interrupt::asked() {
            bail!("interrupted");
        }
        std::thread::sleep(process::POLL);
    }
}

/// Ends every process of the node, undoes its traces and removes its folder but the logs.
fn clear(folder: &Folder) -> Result<()> {
    cgroup::destroy()?;
    // The kernel takes the cable away with the namespace, a moment after its last process.
    let _ = network::disconnect();
    process::wait_to_stop("the cable is gone", PROCESS_LIMIT, || {
        Ok(!network::exists(NAME))
    })?;
    Traces::undo(folder)?;
    for entry in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == folder.logs() {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
