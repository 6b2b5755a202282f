//! The JSON gateway of both servers under the same requests. Answers are parsed and compared as
//! values, never as text: etcd's own spacing changes from build to build.

pub mod access;
pub mod body;
pub mod normal;
pub mod paths;
pub mod random;
pub mod socket;
pub mod streams;
pub mod style;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Plan};
use crate::door::Door;
use crate::normalise::Ids;
use crate::options::Options;
use crate::outcome::excerpt;
use crate::plain_http::{Answer, with_headers};
use crate::target::Target;
use xtask::tally::Tally;

/// One server of one member behind its gateway.
pub struct Gateway {
    pub cluster: Cluster,
    pub door: Door,
    pub ids: Ids,
}

/// Both servers. What the subject does not know yet is left out of the comparison and told.
pub struct Gateways {
    pub sides: [Gateway; 2],
    pub missing: BTreeSet<String>,
}

/// An answer in comparable form.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub value: Value,
}

pub async fn run(options: &Options) -> Result<bool> {
    let mut tally = Tally::default();
    let mut missing = BTreeSet::new();
    macro_rules! case {
        ($name:literal, $call:expr) => {
            if options.wants($name) {
                match $call.await {
                    Ok(since) => tally.pass($name, since),
                    Err(error) => tally.fail($name, &format!("  {error:#}")),
                }
            }
        };
    }
    case!("json every path", paths::every_path(options, &mut missing));
    case!("json input that is none", paths::malformed(options));
    case!("json routing", paths::routing(options));
    case!("json streams", streams::run(options));
    case!("json websocket", socket::run(options));
    case!("json cors and hosts", access::run(options));
    case!("json random requests", random::run(options));
    for path in missing {
        println!("left out: the server under test does not know {path} yet");
    }
    Ok(tally.close())
}

impl Gateways {
    pub async fn start(options: &Options, flags: &[&str]) -> Result<Gateways> {
        let plan = |binary: &std::path::Path, label| Plan {
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            ..Plan::new(binary, label, 1).tls(options.tls)
        };
        let reference = plan(&options.etcd(), "etcd");
        let subject = plan(options.subject(), "subject");
        let (reference, subject) =
            tokio::join!(Gateway::start(&reference), Gateway::start(&subject));
        Ok(Gateways {
            sides: [reference?, subject?],
            missing: BTreeSet::new(),
        })
    }

    /// Posts the same JSON to both and returns what etcd answered.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.text(path, &body.to_string()).await
    }

    pub async fn text(&mut self, path: &str, body: &str) -> Result<Value> {
        let mut told = Vec::new();
        for side in &self.sides {
            told.push(side.post(path, body).await?);
        }
        let [reference, subject] = told.as_slice() else {
            bail!("two sides are needed")
        };
        if is_missing(subject) {
            self.missing.insert(path.to_owned());
        } else {
            same(reference, subject).with_context(|| format!("POST {path} {body}"))?;
        }
        Ok(reference.value.clone())
    }

    /// Posts to each what `body` makes of it, for answers that hold ids of their own.
    pub async fn each(&self, path: &str, body: &Value) -> Result<[Value; 2]> {
        let mut answers = Vec::new();
        for side in &self.sides {
            let answer = side.raw(path, &body.to_string()).await?;
            if answer.status != 200 {
                bail!("POST {path} {body} to {}: {answer:?}", side.cluster.label);
            }
            answers.push(serde_json::from_str(&answer.body)?);
        }
        answers
            .try_into()
            .map_err(|_| anyhow::anyhow!("two sides are needed"))
    }
}

impl Gateway {
    async fn start(plan: &Plan) -> Result<Gateway> {
        let cluster = Cluster::start(plan).await?;
        let door = cluster.door(0);
        let ids = Target::open(&cluster).await?.ids.lock().clone();
        Ok(Gateway { cluster, door, ids })
    }

    pub async fn raw(&self, path: &str, body: &str) -> Result<Answer> {
        let host = self.door.host();
        with_headers(&self.door, "POST", path, &[("Host", &host)], body).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Result<Told> {
        Ok(self.told(path, &self.raw(path, body).await?))
    }

    pub fn told(&self, path: &str, answer: &Answer) -> Told {
        let mut value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|_| json!({"no json": answer.body.trim()}));
        normal::normalise(path, &mut value, &self.ids);
        let kept = ["content-type", "grpc-metadata-content-type", "location"];
        let headers = kept.iter().filter_map(|name| {
            let value = answer.headers.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        Told {
            status: answer.status,
            headers: headers.collect(),
            value,
        }
    }
}

/// Whether the answer is that of a server that has the path but not the RPC.
fn is_missing(told: &Told) -> bool {
    let message = told.value["message"].as_str().unwrap_or_default();
    told.status == 501 && told.value["code"] == 12 && message.starts_with("unknown method ")
}

/// Compares two answers.
pub fn same(reference: &Told, subject: &Told) -> Result<()> {
    if reference == subject {
        return Ok(());
    }
    let (a, b) = (format!("{reference:?}"), format!("{subject:?}"));
    bail!(
        "\n  reference: {}\n  subject:   {}",
        excerpt(&a, &b),
        excerpt(&b, &a)
    )
}

/// The time something began, for the tally.
pub fn now() -> Instant {
    Instant::now()
}
