pub mod client;
mod idle;
mod refusals;
mod rotation;
pub mod site;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::options::Options;
use site::Site;
use xtask::tally::Tally;

/// Longest run of one etcdctl command.
const COMMAND_WAIT: Duration = Duration::from_secs(30);

/// Three members with TLS on every listener.
pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let etcdctl = options.peer("etcdctl")?;
    let since = Instant::now();
    let site = Site::start(options.subject()).await?;
    match etcdctl_works(&etcdctl, &site).await {
        Ok(()) => tally.pass("tls etcdctl with a certificate", since),
        Err(error) => tally.fail("tls etcdctl with a certificate", &format!("  {error:#}")),
    }
    let since = Instant::now();
    let name = "tls mainstay snapshot save";
    match backup_works(options.subject(), &site).await {
        Ok(()) => tally.pass(name, since),
        Err(error) => tally.fail(name, &format!("  {error:#}")),
    }
    refusals::run(&site, &mut tally).await?;
    let since = Instant::now();
    match idle::run(&site).await {
        Ok(()) => tally.pass("tls 2,000 idle connections", since),
        Err(error) => tally.fail("tls 2,000 idle connections", &format!("  {error:#}")),
    }
    rotation::run(&site, &mut tally).await;
    drop(site);
    let since = Instant::now();
    match automatic(options.subject(), &etcdctl).await {
        Ok(()) => tally.pass("tls --auto-tls and --peer-auto-tls", since),
        Err(error) => tally.fail(
            "tls --auto-tls and --peer-auto-tls",
            &format!("  {error:#}"),
        ),
    }
    Ok(tally.close())
}

async fn etcdctl_works(etcdctl: &Path, site: &Site) -> Result<()> {
    let client = &site.client;
    let secure = [
        format!("--cacert={}", site.trusted().display()),
        format!("--cert={}", client.cert.display()),
        format!("--key={}", client.key.display()),
        format!("--endpoints={}", site.endpoints()),
    ];
    for (line, expected) in [
        ("put over tls", "OK"),
        ("get over", "over\ntls"),
        ("endpoint health --cluster", ""),
        ("member list", "https://127.0.0.1"),
    ] {
        let out = run_command(etcdctl, &secure, line).await?;
        if !out.contains(expected) {
            bail!("{line}: {out}");
        }
    }
    Ok(())
}

/// Our own command speaks TLS as etcdctl does, and says why where it cannot.
async fn backup_works(mainstay: &Path, site: &Site) -> Result<()> {
    let file = site.path("backup.db").display().to_string();
    let endpoint = format!(
        "--endpoints=https://127.0.0.1:{}",
        site.peers[0].client_port
    );
    let ca = format!("--cacert={}", site.trusted().display());
    let shown = [
        format!("--cert={}", site.client.cert.display()),
        format!("--key={}", site.client.key.display()),
    ];
    let line = format!("snapshot save {file}");
    let whole = [&[endpoint.clone(), ca.clone()][..], &shown].concat();
    let out = run_command(mainstay, &whole, &line).await?;
    if !out.contains("Snapshot saved at") || !Path::new(&file).is_file() {
        bail!("{out}");
    }
    let trusting = [
        &[endpoint.clone(), "--insecure-skip-tls-verify".into()][..],
        &shown,
    ]
    .concat();
    run_command(mainstay, &trusting, &line).await?;
    for (flags, reason) in [
        (vec![endpoint.clone(), ca], "CertificateRequired"),
        ([&[endpoint][..], &shown].concat(), "unknown authority"),
    ] {
        match run_command(mainstay, &flags, &line).await {
            Ok(out) => bail!("{flags:?}: {out}"),
            Err(error) if format!("{error:#}").contains(reason) => {}
            Err(error) => bail!("{reason} is expected: {error:#}"),
        }
    }
    Ok(())
}

async fn run_command(binary: &Path, flags: &[String], line: &str) -> Result<String> {
    let mut command = Command::new(binary);
    command.args(line.split(' ')).args(flags).kill_on_drop(true);
    let done = tokio::time::timeout(COMMAND_WAIT, command.output()).await;
    let done = done.with_context(|| format!("{line} does not end"))??;
    let errors = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("{line}: {}\n{errors}", done.status);
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Members that make their certificates themselves.
async fn automatic(binary: &Path, etcdctl: &Path) -> Result<()> {
    let site = site::automatic(binary).await?;
    let flags = [
        "--insecure-skip-tls-verify".to_owned(),
        "--insecure-transport=false".to_owned(),
        format!("--endpoints={}", site.endpoints()),
    ];
    run_command(etcdctl, &flags, "put over auto").await?;
    let out = run_command(etcdctl, &flags, "get over").await?;
    match out.contains("auto") {
        true => Ok(()),
        false => bail!("{out}"),
    }
}
