//! Where a member keeps its data, and how the power is cut.
//!
//! SIGKILL loses nothing that was written: the page cache outlives the process. A power cut is
//! made with a file system of the member's own, ext4 on a loop device over a file. What was
//! written but not synced is in the page cache of that file system and not yet in the backing
//! file; so a copy of the backing file, taken while the member is stopped, is what a disk would
//! hold after the plug was pulled. The copy counts only if the device wrote nothing meanwhile.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// Size of a member's file system in a chaos run: six segments of the log at most, and a store that
/// grows for as long as the run lasts. The file is sparse.
pub const IMAGE_MIB: u64 = 1024;

/// Seconds between journal commits that nobody asked for: longer than a run, so that what the
/// server did not sync is not made durable by chance.
const JOURNAL_COMMIT_SECONDS: u32 = 3600;

/// Copies of the backing file before we give up on a quiet moment.
const COPY_ATTEMPTS: u32 = 20;

/// A directory for one member, or a file system of its own.
#[derive(Debug)]
pub enum Disk {
    Plain(PathBuf),
    Loop { image: PathBuf, mount: PathBuf },
}

/// What a disk would hold if the power had been cut when it was copied.
#[derive(Debug)]
pub struct Cut(PathBuf);

/// Whether this user can mount a file system.
#[must_use]
pub fn can_mount() -> bool {
    rustix::process::geteuid().is_root()
        && Path::new("/dev/loop-control").exists()
        && ["mkfs.ext4", "mount", "umount"].iter().all(|tool| {
            ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
                .iter()
                .any(|directory| Path::new(directory).join(tool).exists())
        })
}

impl Disk {
    /// A plain directory.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn plain(directory: PathBuf) -> io::Result<Disk> {
        fs::create_dir_all(&directory)?;
        Ok(Disk::Plain(directory))
    }

    /// A new ext4 of `mib` MiB in `<directory>.img`, mounted at `directory`. Needs root.
    ///
    /// # Errors
    /// If a tool is missing or fails.
    pub fn mounted(directory: PathBuf, mib: u64) -> anyhow::Result<Disk> {
        fs::create_dir_all(&directory)?;
        let image = directory.with_extension("img");
        fs::File::create(&image)?.set_len(mib << 20)?;
        // Nothing may be initialised later in the background, or the device is never quiet.
        let lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        let small = [
            "-q", "-F", "-m", "0", "-N", "2048", "-J", "size=8", "-E", lazy,
        ];
        run(Command::new("mkfs.ext4").args(small).arg(&image))?;
        let disk = Disk::Loop {
            image,
            mount: directory,
        };
        disk.attach()?;
        Ok(disk)
    }

    /// Where the member puts its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        match self {
            Disk::Plain(directory) => directory,
            Disk::Loop { mount, .. } => mount,
        }
    }

    #[must_use]
    pub fn is_mounted(&self) -> bool {
        matches!(self, Disk::Loop { .. })
    }

    /// Copies what has reached the device. The member must be stopped.
    ///
    /// # Errors
    /// If this is no file system of its own, or the device does not come to rest.
    pub fn copy(&self) -> anyhow::Result<Cut> {
        let Disk::Loop { image, mount } = self else {
            bail!("a power cut needs a file system of its own");
        };
        let device = device_of(mount)?;
        let copy = image.with_extension("cut");
        for _ in 0..COPY_ATTEMPTS {
            let before = writes(&device)?;
            run(Command::new("cp")
                .arg("--sparse=always")
                .arg(image)
                .arg(&copy))?;
            if writes(&device)? == before {
                return Ok(Cut(copy));
            }
        }
        bail!("{device} kept writing while its file was copied");
    }

    /// Goes on with what the copy holds. The member must be dead.
    ///
    /// # Errors
    /// If the file system cannot be unmounted or mounted.
    pub fn revert(&self, cut: Cut) -> anyhow::Result<()> {
        let Disk::Loop { image, .. } = self else {
            bail!("a power cut needs a file system of its own");
        };
        self.detach()?;
        fs::rename(cut.0, image)?;
        self.attach()
    }

    /// Writes out everything so far, as a kernel does by itself after half a minute.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(self.root())?)?)
    }

    /// Takes all space that is left.
    ///
    /// # Errors
    /// Anything but running out of space.
    pub fn fill(&self) -> anyhow::Result<u64> {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())?;
        let mut taken = 0;
        // Smaller and smaller pieces, so that not even a block stays free.
        for size in [1 << 20, 4096, 512] {
            let piece = vec![0x55; size];
            loop {
                match io::Write::write(&mut file, &piece) {
                    Ok(written) => taken += written as u64,
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        // Blocks that were only promised must be real before the server asks for some.
        match file.sync_all() {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error.into()),
            _ => Ok(taken),
        }
    }

    /// Gives the space back that [`Disk::fill`] took.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.root().join("filler")
    }

    fn attach(&self) -> anyhow::Result<()> {
        let Disk::Loop { image, mount } = self else {
            return Ok(());
        };
        let options = format!("loop,noatime,commit={JOURNAL_COMMIT_SECONDS}");
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", &options])
            .arg(image)
            .arg(mount))
    }

    fn detach(&self) -> anyhow::Result<()> {
        let Disk::Loop { mount, .. } = self else {
            return Ok(());
        };
        run(Command::new("umount").arg(mount))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            eprintln!("{error:#}");
        }
    }
}

/// The loop device behind a mount point, as `loop3`.
fn device_of(mount: &Path) -> anyhow::Result<String> {
    let mount = fs::canonicalize(mount)?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let device = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let device = fields.next()?;
        (Path::new(fields.next()?) == mount).then_some(device)
    });
    let device = device.and_then(|device| device.strip_prefix("/dev/"));
    Ok(device
        .with_context(|| format!("{} is not mounted", mount.display()))?
        .to_owned())
}

/// Writes completed, sectors written, and requests in flight of a block device.
fn writes(device: &str) -> anyhow::Result<[u64; 3]> {
    let path = format!("/sys/block/{device}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    let fields: Vec<u64> = stat
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    match (fields.get(4), fields.get(6), fields.get(8)) {
        (Some(&count), Some(&sectors), Some(&flying)) => Ok([count, sectors, flying]),
        _ => bail!("{path} is not understood: {stat}"),
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{command:?} failed with {}: {}", output.status, said.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_synced_and_loses_the_rest() {
        if !can_mount() {
            eprintln!("left out: mounting a file system needs root");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::mounted(directory.path().join("m"), 64).unwrap();
        let file = disk.root().join("file");
        fs::write(&file, "synced").unwrap();
        fs::File::open(&file).unwrap().sync_all().unwrap();
        fs::File::open(disk.root()).unwrap().sync_all().unwrap();
        fs::write(disk.root().join("other"), "not synced").unwrap();
        let cut = disk.copy().unwrap();
        disk.revert(cut).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "synced");
        assert!(!disk.root().join("other").exists());
        assert!(disk.fill().unwrap() > 30 << 20);
        assert!(fs::write(disk.root().join("more"), [1; 8192]).is_err());
        disk.free().unwrap();
        fs::write(disk.root().join("more"), [1; 8192]).unwrap();
    }
}
