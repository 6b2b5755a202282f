//! Members that know each other by the DNS alone, with a name server of the suite's own.

use anyhow::Result;
use hickory_proto::rr::Record;
use mainstay_pki::Leaf;

use super::discovery::{Done, listen, seat};
use super::site::Site;
use crate::names::{self, Names};
use crate::secure::Secure;

/// The domain of the records, and the service name of those that are found by one.
const DOMAIN: &str = "cluster.test";
const NAME: &str = "blue";

/// A member that shows another host's certificate.
const IMPOSTOR: usize = 4;

/// The cases that need root.
pub const PLAIN: &str = "members found by SRV records";
pub const OVER_TLS: &str = "members found by SRV records over TLS";

fn host(at: usize) -> String {
    format!("m{at}.{DOMAIN}")
}

/// What the DNS says of where a member listens; `kind` is what stands behind `server` and `client`.
fn services(site: &Site, at: usize, kind: &str) -> Result<Vec<Record>> {
    let peer = &site.cluster.peers[at];
    let ports = [("server", peer.peer_port), ("client", peer.client_port)];
    let records = ports.into_iter().map(|(side, port)| {
        let name = format!("_etcd-{side}{kind}._tcp.{DOMAIN}.");
        names::service(&name, &format!("{}.", host(at)), port)
    });
    records.collect()
}

/// Three members that know each other by the DNS alone, three more by a service name, and etcdctl
/// that finds them there too.
pub fn plain(site: &mut Site) -> Done<'_> {
    Box::pin(async move {
        let mut records = Vec::new();
        for at in 1..=8 {
            seat(site, at, &host(at))?;
            records.push(names::host(&format!("{}.", host(at)))?);
            let suffix = match at {
                1..=3 => String::new(),
                4..=6 => format!("-{NAME}"),
                // The last ones have an address and are in no list.
                _ => continue,
            };
            records.extend(services(site, at, &suffix)?);
        }
        let names = Names::start(site.cluster.dir(), records).await?;
        for at in 1..=8 {
            let domain = if at == 8 { "nothing.test" } else { DOMAIN };
            let mut flags = vec![format!("--discovery-srv={domain}")];
            if (4..=6).contains(&at) {
                flags.push(format!("--discovery-srv-name={NAME}"));
            }
            site.peer(at).set_flags(flags);
            site.peer(at).run_under(names.wrapper());
            site.peer(at).restart()?;
        }
        for at in 1..=6 {
            site.until_done(at, &["put", &format!("k{at}"), "v"])
                .await?;
        }
        for at in [1, 4] {
            site.learn_ids(at).await?;
            site.show(at, &["member", "list"]).await?;
            site.show(at, &["get", "", "--prefix"]).await?;
        }
        site.end_of(7).await?;
        site.note_log(7, &["cannot find local etcd member"]);
        site.end_of(8).await?;
        site.note_log(8, &["error querying DNS SRV records"]);
        let domain = format!("--discovery-srv={DOMAIN}");
        let name = format!("--discovery-srv-name={NAME}");
        for flags in [&[domain.as_str()][..], &[domain.as_str(), name.as_str()]] {
            let keys = ["get", "", "--prefix", "--keys-only"];
            let args = [flags, &keys].concat();
            let said = site.must(&names.wrapper(), &args).await?;
            site.note(&said.text);
        }
        Ok(())
    })
}

/// Seats one that speaks TLS; what the DNS says of it is returned.
fn seat_over_tls(site: &mut Site, at: usize, secure: &Secure) -> Result<Vec<Record>> {
    seat(site, at, &host(at))?;
    listen(site, at, "https", &host(at));
    let mut records = services(site, at, "-ssl")?;
    // etcdctl wants the domain's own name of whom it finds by the domain.
    let mut leaf = Leaf::default();
    leaf.names.extend([host(at), DOMAIN.to_owned()]);
    if at == IMPOSTOR {
        leaf.names = vec![host(IMPOSTOR + 1)];
        // Clients are not sent to it.
        records.truncate(1);
    }
    records.push(names::host(&format!("{}.", host(at)))?);
    let dir = site.cluster.dir().to_owned();
    let pair = secure.authority().write(&dir, &format!("m{at}"), &leaf)?;
    let mut flags = mainstay_pki::member_flags(&secure.ca, &pair);
    flags.push(format!("--discovery-srv={DOMAIN}"));
    site.peer(at).set_flags(flags);
    Ok(records)
}

/// The same where all speak TLS: the records have other names, members show certificates of the
/// hosts that the records name, and nobody takes one whose certificate is another host's.
pub fn over_tls(site: &mut Site) -> Done<'_> {
    Box::pin(async move {
        let secure = Secure::new(site.cluster.dir())?;
        let mut records = Vec::new();
        for at in 1..=IMPOSTOR {
            records.extend(seat_over_tls(site, at, &secure)?);
        }
        let names = Names::start(site.cluster.dir(), records).await?;
        for at in 1..=IMPOSTOR {
            site.peer(at).run_under(names.wrapper());
            site.peer(at).restart()?;
        }
        let trust = secure.command_flags();
        let trust = trust.each_ref().map(String::as_str);
        let endpoint = |site: &Site, at: usize| {
            let port = site.cluster.peers[at].client_port;
            format!("--endpoints=https://127.0.0.1:{port}")
        };
        // Who answers has told the others where clients find it.
        for at in 1..IMPOSTOR {
            let url = endpoint(site, at);
            let args = [&[url.as_str()], &trust[..], &["put", "k", "v"]].concat();
            site.until_ran(&[], &args).await?;
        }
        let domain = format!("--discovery-srv={DOMAIN}");
        let found = [&[domain.as_str()], &trust[..]].concat();
        let list = [&found[..], &["member", "list"]].concat();
        let listed = site.must(&names.wrapper(), &list).await?;
        site.learn_listed(&listed.text);
        site.note_lines(&listed.text);
        let get = [&found[..], &["get", "", "--prefix"]].concat();
        let kept = site.must(&names.wrapper(), &get).await?;
        site.note(&kept.text);
        // Each product has words of its own for it, and both name the host that was wanted.
        site.until_logged(1, &[&host(IMPOSTOR), "certificate"])
            .await?;
        let url = endpoint(site, IMPOSTOR);
        let get = [url.as_str(), "--insecure-skip-tls-verify", "get", "k"];
        let said = site.run(&[], &[&get[..], &trust].concat()).await?;
        site.note(&format!("the impostor's answer: {:?}", said.code));
        Ok(())
    })
}
