use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// `resolv.conf` cannot name another port.
const PORT: u16 = 53;
/// Seconds for which an answer may be kept.
const KEPT: u32 = 1;
/// Largest question, in bytes.
const QUESTION_MAX: usize = 4096;

/// A name server that knows a few records, and the settings that send a program to it.
#[derive(Debug)]
pub struct Names {
    server: JoinHandle<()>,
    settings: PathBuf,
}

impl Names {
    /// Starts it on an address of loopback that has no name server yet.
    pub async fn start(dir: &Path, records: Vec<Record>) -> Result<Names> {
        let (socket, address) = listen().await?;
        let settings = dir.join("resolv.conf");
        std::fs::write(&settings, format!("nameserver {address}\n"))?;
        Ok(Names {
            server: tokio::spawn(serve(socket, records)),
            settings,
        })
    }

    /// What is put before a program and its arguments so that it asks this server alone: a mount
    /// namespace in which our settings lie over those of the system. The process stays the same.
    pub fn wrapper(&self) -> Vec<String> {
        let settings = self.settings.display().to_string();
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let words = ["unshare", "--mount", "sh", "-c", script, &settings];
        words.map(str::to_owned).to_vec()
    }

    /// Whether this process may do all of that; it must be root, and not too confined.
    pub async fn may_run() -> bool {
        let mut mount = Command::new("unshare");
        mount.args(["--mount", "mount", "--bind"]);
        mount.args(["/etc/resolv.conf"; 2]).stderr(Stdio::null());
        let mounted = mount.status().await;
        mounted.is_ok_and(|status| status.success()) && listen().await.is_ok()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A record of a service, for `Names::start`.
pub fn service(name: &str, host: &str, port: u16) -> Result<Record> {
    let target = Name::from_ascii(host)?;
    let data = RData::SRV(SRV::new(0, 0, port, target));
    Ok(Record::from_rdata(Name::from_ascii(name)?, KEPT, data))
}

/// A host on loopback.
pub fn host(name: &str) -> Result<Record> {
    let data = RData::A(A(Ipv4Addr::LOCALHOST));
    Ok(Record::from_rdata(Name::from_ascii(name)?, KEPT, data))
}

/// The first address of a range on loopback that is free; several runs may want one each.
async fn listen() -> Result<(UdpSocket, Ipv4Addr)> {
    for last in 1..255 {
        let address = Ipv4Addr::new(127, 53, 53, last);
        if let Ok(socket) = UdpSocket::bind((address, PORT)).await {
            return Ok((socket, address));
        }
    }
    bail!("no name server may listen")
}

async fn serve(socket: UdpSocket, records: Vec<Record>) {
    let mut bytes = [0; QUESTION_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else {
            continue;
        };
        // What is no question gets no answer, and who misses an answer asks again.
        if let Some(answer) = answer(&bytes[..length], &records) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

fn answer(question: &[u8], records: &[Record]) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?;
    let mut named: Vec<Record> = records.to_vec();
    named.retain(|record| record.name == query.name);
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    // Without these Go takes an empty answer for that of a server that does not know.
    answer.metadata.authoritative = true;
    answer.metadata.recursion_available = true;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    if named.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    named.retain(|record| record.record_type() == query.query_type);
    answer.add_query(query.clone());
    answer.add_answers(named);
    answer.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::RecordType;

    use super::*;

    fn ask(name: &str, kind: RecordType) -> Message {
        let records = [
            service("_etcd-server._tcp.a.test.", "m1.a.test.", 7).unwrap(),
            host("m1.a.test.").unwrap(),
        ];
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = answer(&question.to_vec().unwrap(), &records).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, question.metadata.id);
        answer
    }

    #[test]
    fn a_name_is_known_by_its_types() {
        let found = ask("_ETCD-server._tcp.a.test.", RecordType::SRV);
        assert_eq!(found.answers.len(), 1);
        assert_eq!(ask("m1.a.test.", RecordType::A).answers.len(), 1);
        let other = ask("m1.a.test.", RecordType::AAAA);
        assert_eq!(other.metadata.response_code, ResponseCode::NoError);
        assert!(other.answers.is_empty());
        let unknown = ask("m2.a.test.", RecordType::A);
        assert_eq!(unknown.metadata.response_code, ResponseCode::NXDomain);
    }
}
