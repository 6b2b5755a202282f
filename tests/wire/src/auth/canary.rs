use std::path::Path;

use anyhow::{Result, ensure};
use mainstay_proto::authpb::permission::Type;

use super::rpc;
use super::stage::{self, Stage};
use crate::options::Options;
use crate::plain_http;

/// Passwords that are looked for wherever this server leaves a byte.
const CANARIES: [&str; 3] = ["canary-of-alice-71", "canary-changed-72", "canary-wrong-73"];

/// Passwords and tokens appear in no file of the member, no line of its log, no metric and no
/// text of an error.
pub async fn run(options: &Options) -> Result<()> {
    let flags = ["--log-level=debug", "--metrics=extensive"];
    let mut stage = Stage::open(&stage::plan(options, false, &flags)).await?;
    let mut secrets: Vec<String> = CANARIES.iter().map(|word| (*word).to_owned()).collect();
    secrets.push(stage::ROOT_PASSWORD.to_owned());
    // The index behind a token's secret is none.
    let secret = |token: &str| token.split('.').next().unwrap_or_default().to_owned();
    secrets.push(secret(&stage.root));
    stage.user("alice", &[(Type::Read, "a", "b")]).await?;
    stage
        .as_root(&stage::change_password("alice", CANARIES[0]))
        .await?;
    let token = rpc::log_in(&stage.channel, "alice", CANARIES[0]).await?;
    secrets.push(secret(&token));
    stage.must(Some(&token), &rpc::range("a", "")).await?;
    stage
        .as_root(&stage::change_password("alice", CANARIES[1]))
        .await?;
    secrets.push(stage::PASSWORD.to_owned());
    let mut texts = String::new();
    for (token, call) in [
        (None, rpc::authenticate("alice", CANARIES[2])),
        (None, rpc::authenticate("nobody", CANARIES[2])),
        (Some(token.as_str()), rpc::range("a", "")),
        (Some("bad-canary-74.1"), rpc::range("a", "")),
    ] {
        texts.push_str(stage.call(token, &call).await?.ended.text());
    }
    secrets.push("bad-canary-74".to_owned());
    let door = stage.cluster.door(0);
    for (path, body) in [
        ("/metrics", String::new()),
        ("/debug/vars", String::new()),
        (
            "/v3/auth/authenticate",
            format!(r#"{{"name":"alice","password":"{}"}}"#, CANARIES[2]),
        ),
        (
            "/v3/auth/authenticate",
            format!(r#"{{"name":"alice","password":["{}"]}}"#, CANARIES[2]),
        ),
    ] {
        let method = if body.is_empty() { "GET" } else { "POST" };
        texts.push_str(&plain_http::send(&door, method, path, &body).await?.body);
    }
    // Written out, so that what is on its way to the disk is there.
    stage.cluster.peers[0].terminate().await?;
    let found = |text: &[u8]| {
        let of = |word: &&String| contains(text, word.as_bytes());
        secrets.iter().find(of).cloned()
    };
    ensure!(
        found(texts.as_bytes()).is_none(),
        "an answer tells a secret"
    );
    let log = std::fs::read_to_string(stage.cluster.peers[0].log_path())?;
    ensure!(log.contains("wrong password"), "the log tells of no log-in");
    for line in log.lines() {
        ensure!(found(line.as_bytes()).is_none(), "the log tells: {line}");
    }
    // Names are no secrets: that they are found shows that the search finds.
    let (mut files, mut named) = (0, 0);
    search(&stage.cluster.data_dir(0), &mut |path, bytes| {
        files += 1;
        named += usize::from(contains(bytes, b"alice"));
        let found = found(bytes);
        ensure!(found.is_none(), "{} holds {found:?}", path.display());
        Ok(())
    })?;
    ensure!(log.contains("alice"), "the log names nobody");
    ensure!(
        files > 5 && named > 0,
        "{files} files, {named} of them with a name"
    );
    Ok(())
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

fn search(dir: &Path, look: &mut impl FnMut(&Path, &[u8]) -> Result<()>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => search(&path, look)?,
            false => look(&path, &used(std::fs::read(&path)?))?,
        }
    }
    Ok(())
}

/// Without the zeros that a segment of the log is filled up with.
fn used(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
