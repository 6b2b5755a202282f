//! `cargo xtask clients`: installs the programs of `tests/wire/clients` with the libraries they pin.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::{interrupt, places, process};

use crate::setup::{self, Tool, answers};

/// Longest time of one command of an installation, downloads included.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// The programs of one language: the folder below `tests/wire/clients`, the tools that install and
/// run them, and the commands that turn a copy of the folder into what runs.
struct Client {
    name: &'static str,
    tools: &'static [Tool],
    commands: &'static [&'static [&'static str]],
}

const CLIENTS: &[Client] = &[
    Client {
        name: "go",
        // Go is what the peers are built with; `cargo xtask setup` asks for it.
        tools: &[],
        commands: &[&["go", "build", "-trimpath", "-o", "clients", "."]],
    },
    Client {
        name: "python",
        tools: &[Tool {
            name: "Python 3.11 or newer with venv",
            package: "python3-venv",
            present: has_python,
        }],
        commands: &[
            &["python3", "-m", "venv", "venv"],
            &[
                "venv/bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "--only-binary=:all:",
                "--requirement",
                "requirements.txt",
            ],
        ],
    },
    Client {
        name: "java",
        tools: &[
            Tool {
                name: "a JDK of Java 17 or newer",
                package: "default-jdk-headless",
                present: || answers("javac", &["--release", "17", "--version"]).is_some(),
            },
            Tool {
                name: "maven",
                package: "maven",
                present: || answers("mvn", &["--version"]).is_some(),
            },
        ],
        commands: &[&["mvn", "--quiet", "--batch-mode", "compile"]],
    },
    Client {
        name: "node",
        tools: &[
            Tool {
                name: "node",
                package: "nodejs",
                present: || answers("node", &["--version"]).is_some(),
            },
            Tool {
                name: "npm",
                package: "npm",
                present: || answers("npm", &["--version"]).is_some(),
            },
        ],
        commands: &[&["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]],
    },
    Client {
        name: "curl",
        tools: &[
            Tool {
                name: "curl",
                package: "curl",
                present: || answers("curl", &["--version"]).is_some(),
            },
            Tool {
                name: "jq",
                package: "jq",
                present: || answers("jq", &["--version"]).is_some(),
            },
        ],
        commands: &[],
    },
];

/// Installs the clients named by the arguments, or all; `--path` then prints their folder.
pub fn run(arguments: &[String]) -> Result<()> {
    let wants_path = arguments.iter().any(|argument| argument == "--path");
    let names: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "--path")
        .collect();
    check_tools()?;
    let folder = ensure(&names)?;
    if wants_path {
        println!("{}", folder.display());
    } else {
        eprintln!("clients: complete in {}", folder.display());
    }
    Ok(())
}

/// Looks for the tools of all clients; as root installs what is missing, else names it.
pub fn check_tools() -> Result<()> {
    setup::install_missing(CLIENTS.iter().flat_map(|client| client.tools).collect())
}

/// Installs what is missing of the named clients (all, if none is named) and returns the folder
/// in which each has a link of its name.
///
/// A client lies in a folder that is keyed by its files, so a second run costs nothing, and a
/// change installs only that client anew. It appears there when it is finished.
pub fn ensure(names: &[&str]) -> Result<PathBuf> {
    let known: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!(
            "no client is called '{name}'; there are {}",
            known.join(", ")
        );
    }
    let sources = places::checkout()?.join("tests/wire/clients");
    let root = places::cache()?.join("clients");
    let current = root.join("current");
    fs::create_dir_all(&current).with_context(|| format!("cannot create {}", current.display()))?;
    let wanted = |client: &&Client| names.is_empty() || names.contains(&client.name);
    for client in CLIENTS.iter().filter(wanted) {
        let source = sources.join(client.name);
        let files = files_below(&source)?;
        let kept = format!("{}-{}", client.name, key(&source, &files)?);
        if !root.join(&kept).exists() {
            install(client, &source, &files, &root.join(&kept))?;
        }
        point_at(&current.join(client.name), &Path::new("..").join(&kept))?;
    }
    Ok(current)
}

/// Copies the client's files beside the place where it will lie, runs its commands in the copy and
/// renames that.
fn install(client: &Client, source: &Path, files: &[PathBuf], folder: &Path) -> Result<()> {
    let begin = Instant::now();
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    eprintln!("clients: installing {}", client.name);
    for file in files {
        let copy = partial.join(file);
        let parent = copy.parent().context("a file without a folder")?;
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        fs::copy(source.join(file), &copy)
            .with_context(|| format!("cannot write {}", copy.display()))?;
    }
    let done = client
        .commands
        .iter()
        .try_for_each(|words| command(client.name, words, &partial))
        .and_then(|()| settle(client.name, &partial));
    if let Err(error) = done {
        // What is left of a failed installation helps nobody; its words are in the error.
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    fs::rename(&partial, folder).context("cannot move the client into place")?;
    let took = begin.elapsed().as_secs();
    eprintln!("clients: {} installed in {took} s", client.name);
    Ok(())
}

/// Maven leaves its outputs in `target`; the rest of that is not needed to run.
fn settle(name: &str, partial: &Path) -> Result<()> {
    if name == "java" {
        for part in ["classes", "lib"] {
            fs::rename(partial.join("target").join(part), partial.join(part))
                .with_context(|| format!("maven left no target/{part}"))?;
        }
        fs::remove_dir_all(partial.join("target")).context("cannot remove what maven left")?;
    }
    Ok(())
}

/// Runs one command of an installation; a failure quotes what it said.
fn command(name: &str, words: &[&str], folder: &Path) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    let log = folder.join("install.log");
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    // A program of the folder is named by its path there, any other is looked up.
    let program = match program.contains('/') {
        true => folder.join(program),
        false => PathBuf::from(program),
    };
    let mut child = Command::new(&program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let waited = process::wait_until(&words.join(" "), COMMAND_LIMIT, || {
        Ok(child.try_wait()?.is_some())
    });
    if waited.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    waited?;
    if interrupt::asked() {
        bail!("interrupted while installing {name}");
    }
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        bail!(
            "{} for {name} ended with {status}:\n{text}",
            words.join(" ")
        );
    }
    fs::remove_file(&log).context("cannot remove the log of the installation")
}

/// The client's files, sorted, relative to its folder. What running it by hand left there is not
/// the client's.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    const LEFT: [&str; 4] = ["__pycache__", "node_modules", "target", "venv"];
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).with_context(|| format!("no {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                if !LEFT.iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(folder)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A name for what these files say: FNV-1a over names and bytes, 16 hex digits.
fn key(folder: &Path, files: &[PathBuf]) -> Result<String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for file in files {
        let path = folder.join(file);
        let bytes = fs::read(&path).with_context(|| format!("no {}", path.display()))?;
        let name = file.to_string_lossy();
        for byte in name.bytes().chain([0]).chain(bytes).chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// Switches a link in one step, so that no reader finds it missing.
fn point_at(link: &Path, target: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let fresh = link.with_extension(format!("{}", std::process::id()));
    std::os::unix::fs::symlink(target, &fresh).context("cannot link a client")?;
    fs::rename(&fresh, link).context("cannot switch a client")
}

/// Debian leaves out what makes environments unless its package is there.
fn has_python() -> bool {
    let check = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))";
    answers("python3", &["-c", check]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_its_files() -> Result<()> {
        let sources = places::checkout()?.join("tests/wire/clients");
        for client in CLIENTS {
            assert!(!files_below(&sources.join(client.name))?.is_empty());
        }
        Ok(())
    }

    #[test]
    fn a_key_follows_names_and_bytes() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("xtask-clients-{}", std::process::id()));
        fs::create_dir_all(folder.join("venv"))?;
        fs::write(folder.join("a"), "1")?;
        fs::write(folder.join("venv/b"), "2")?;
        let files = files_below(&folder)?;
        assert_eq!(files, [PathBuf::from("a")]);
        let before = key(&folder, &files)?;
        fs::write(folder.join("a"), "2")?;
        assert_ne!(key(&folder, &files)?, before);
        fs::rename(folder.join("a"), folder.join("c"))?;
        assert_ne!(key(&folder, &files_below(&folder)?)?, before);
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
