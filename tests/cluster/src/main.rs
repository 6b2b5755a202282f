//! `mainstay-cluster`: the node of `lib.rs` by hand, and the suites that run on it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mainstay_cluster::operator::{self, Part, Programs};
use mainstay_cluster::{Datastore, Folder, Node, Options, image, keeper, provisioner, suite};
use xtask::{interrupt, places};

const USAGE: &str = "\
mainstay-cluster up [--bare] [--datastore etcd|mainstay] [IMAGE...]
                              bring a node up in the background, with these archives of images,
                              and unless it is to be bare the operator and a cluster on it
mainstay-cluster down         take it down; only its logs stay
mainstay-cluster load IMAGE   give the node an image, from an archive
mainstay-cluster image NAME PROGRAM
                              make the archive of an image that starts a program; prints its path
mainstay-cluster node [--datastore etcd|mainstay] [IMAGE...]
                              the suite of the node itself; with images, also that of mainstay
mainstay-cluster operator [--core|--access|--backups|--long] [--datastore etcd|mainstay]
                          IMAGE...
                              the suite of the operator, with the images of server and operator:
                              its core, what is about users and declared keys or about backups,
                              what every change must pass, or all
  --datastore mainstay and the operator's suite take the server of MAINSTAY_BIN, else that of the
  everyday build
  environment: MAINSTAY_CACHE, MAINSTAY_PEERS
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let inside = matches!(words.first(), Some(&"keeper" | &"provisioner" | &"image"));
    if !inside && !words.is_empty() && !rustix::process::geteuid().is_root() {
        eprintln!("mainstay-cluster: only root can run a node: type it after sudo");
        return ExitCode::from(2);
    }
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mainstay-cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False when a suite has failed.
fn run(words: &[&str]) -> Result<bool> {
    match words {
        ["up", rest @ ..] => {
            interrupt::listen()?;
            let rest: Vec<&str> = rest.to_vec();
            let bare = rest.contains(&"--bare");
            let others: Vec<&str> = rest.into_iter().filter(|word| *word != "--bare").collect();
            let options = options(&others)?;
            let node = Node::up(&options)?;
            if !bare {
                operator::present(&node, &programs(&options)?)?;
            }
            print_hints(&node, bare);
            Ok(true)
        }
        ["down"] => mainstay_cluster::down(&Folder::of_cache()?).map(|()| true),
        ["load", archive] => Node::attach(&Folder::of_cache()?)?
            .load(archive.as_ref())
            .map(|()| true),
        ["image", name, program] => make_image(name, program.as_ref()).map(|()| true),
        ["node", rest @ ..] => {
            interrupt::listen()?;
            suite::run(&options(rest)?)
        }
        ["operator", rest @ ..] => {
            interrupt::listen()?;
            let (part, others) = part(rest);
            let options = options(&others)?;
            operator::run(&options, &programs(&options)?, part)
        }
        ["keeper", order] => keeper::run(order.as_ref()).map(|()| true),
        ["provisioner", kubeconfig, volumes] => {
            provisioner::run(kubeconfig.as_ref(), volumes.as_ref()).map(|()| true)
        }
        _ => {
            eprint!("{USAGE}");
            bail!("no such command: {}", words.join(" "))
        }
    }
}

/// How much of the operator's suite, and the other words.
fn part<'a>(words: &[&'a str]) -> (Part, Vec<&'a str>) {
    let mut part = Part::Usual;
    let mut others = Vec::new();
    for word in words {
        match *word {
            "--core" => part = Part::Core,
            "--access" => part = Part::Access,
            "--backups" => part = Part::Backups,
            "--long" => part = Part::Long,
            other => others.push(other),
        }
    }
    (part, others)
}

fn options(words: &[&str]) -> Result<Options> {
    let mut options = Options::of_cache()?;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (*word, word.starts_with("--")) {
            ("--datastore", _) => {
                let name = words
                    .next()
                    .context("--datastore etcd or --datastore mainstay")?;
                options.datastore = datastore(name)?;
            }
            (_, true) => bail!("no such flag: {word}"),
            (archive, false) => options.images.push(std::path::absolute(archive)?),
        }
    }
    Ok(options)
}

fn datastore(name: &str) -> Result<Datastore> {
    match name {
        "etcd" => Ok(Datastore::Etcd),
        "mainstay" => server().map(Datastore::Mainstay),
        other => bail!("no datastore is called '{other}'; there are etcd and mainstay"),
    }
}

fn programs(options: &Options) -> Result<Programs> {
    Ok(Programs {
        server: server()?,
        checkout: places::checkout()?,
        helm: options.peers.join("helm"),
        store: options.peers.join("versitygw"),
    })
}

/// The server of the environment, or of the everyday build.
fn server() -> Result<PathBuf> {
    let named = std::env::var_os("MAINSTAY_BIN").map(PathBuf::from);
    let server = named.map_or_else(|| places::built("debug", "mainstay"), Ok)?;
    if !server.exists() {
        bail!("no server at {}", server.display());
    }
    Ok(server)
}

fn make_image(name: &str, program: &std::path::Path) -> Result<()> {
    let folder = places::cache()?.join("images");
    std::fs::create_dir_all(&folder)?;
    let version = env!("CARGO_PKG_VERSION");
    let path = folder.join(format!("{name}-{version}.tar"));
    image::program(name, version, program).write(&path)?;
    println!("{}", path.display());
    Ok(())
}

fn print_hints(node: &Node, bare: bool) {
    println!("logs: {}\n", node.folder.logs().display());
    println!("to try:");
    println!("  export KUBECONFIG={}", node.kubectl.kubeconfig.display());
    if let Some(programs) = node.kubectl.program.parent() {
        println!("  export PATH={}:$PATH", programs.display());
    }
    println!("  kubectl get nodes,pods --all-namespaces");
    if bare {
        return;
    }
    for line in [
        "kubectl get msc",
        "kubectl get pods -L mainstay.dev/role -w",
        "kubectl scale msc db --replicas 5",
        "kubectl delete pod -l mainstay.dev/role=leader",
        "kubectl describe msc db",
    ] {
        println!("  {line}");
    }
}
