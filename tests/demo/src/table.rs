//! What is wanted, what is, who leads, and what has happened: drawn again at each change.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::io::IsTerminal;

use anyhow::Result;
use mainstay_client::Client;
use mainstay_client::contend::Proclaimed;
use mainstay_client::controller::Objects;
use mainstay_client::reflector::Change;
use mainstay_client::resource::Resources;

use crate::fleet::{self, Kind, POST, Worker};

/// How many events are shown.
const EVENTS: usize = 10;

struct Table {
    kinds: Objects<Kind>,
    workers: Objects<Worker>,
    leader: Option<String>,
    events: VecDeque<String>,
    terminal: bool,
}

pub async fn run(client: Client) -> Result<()> {
    let (kinds, workers): (Resources<Kind>, Resources<Worker>) =
        (client.resources(), client.resources());
    let (mut kind_keys, mut worker_keys) = (kinds.reflect(), workers.reflect());
    let mut table = Table {
        kinds: kinds.view(&kind_keys),
        workers: workers.view(&worker_keys),
        leader: None,
        events: VecDeque::new(),
        terminal: std::io::stdout().is_terminal(),
    };
    let mut leaders = client.election(POST).observe();
    loop {
        tokio::select! {
            change = kind_keys.next() => table.tell_kind(&change?),
            change = worker_keys.next() => table.tell_worker(&change?),
            leader = leaders.next() => table.tell_leader(leader?),
        }
        table.draw();
    }
}

impl Table {
    fn tell(&mut self, event: String) {
        let time = jiff::Zoned::now().strftime("%H:%M:%S%.3f").to_string();
        let line = format!("{time}  {event}");
        if !self.terminal {
            println!("{line}");
        }
        self.events.push_back(line);
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn tell_kind(&mut self, change: &Change) {
        match change {
            Change::Put { now, .. } => {
                let key = String::from_utf8_lossy(&now.key);
                if let Some(name) = key.strip_prefix("fleet/kinds/") {
                    let value = String::from_utf8_lossy(&now.value);
                    self.tell(format!("wanted of {name}: {value}"));
                }
            }
            Change::Deleted { before } => {
                let key = String::from_utf8_lossy(&before.key);
                if let Some(name) = key.strip_prefix("fleet/kinds/") {
                    self.tell(format!("{name} is wanted no longer"));
                }
            }
            Change::Synced { .. } => {}
        }
    }

    fn tell_worker(&mut self, change: &Change) {
        let event = match change {
            Change::Put { now, .. } => fleet::read(now).map(|(name, worker)| match worker.pid {
                Some(pid) => format!("{name} works, process {pid}"),
                None => format!("{name} is being started"),
            }),
            Change::Deleted { before } => {
                fleet::read(before).map(|(name, _)| format!("{name} is gone"))
            }
            Change::Synced { .. } => None,
        };
        if let Some(event) = event {
            self.tell(event);
        }
    }

    fn tell_leader(&mut self, leader: Option<Proclaimed>) {
        self.leader = leader.map(|leader| String::from_utf8_lossy(&leader.value).into_owned());
        let event = match &self.leader {
            Some(leader) => format!("controller {leader} leads"),
            None => "no controller leads".to_owned(),
        };
        self.tell(event);
    }

    fn draw(&self) {
        if !self.terminal {
            return;
        }
        // Home, the drawing, then clear what was below it before.
        print!("\x1b[H{}\x1b[J", self.drawing().replace('\n', "\x1b[K\n"));
    }

    fn drawing(&self) -> String {
        let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for worker in self.workers.all() {
            let Some(kind) = fleet::kind_of(&worker.name) else {
                continue;
            };
            let word = match worker.spec.pid {
                Some(pid) => pid.to_string(),
                None => "...".to_owned(),
            };
            there.entry(kind.to_owned()).or_default().push(word);
        }
        let leader = self.leader.as_deref().unwrap_or("nobody");
        let mut text = format!("leading controller: {leader}\n\n");
        let head = ["KIND", "WANTED", "WORKING", "JOB", "PROCESSES"];
        let _ = writeln!(
            text,
            "{:<12} {:>6} {:>7} {:<12} {}",
            head[0], head[1], head[2], head[3], head[4]
        );
        for kind in self.kinds.all() {
            let wanted = match kind.is_being_deleted() {
                true => 0,
                false => kind.spec.workers,
            };
            let processes = there.remove(&kind.name).unwrap_or_default();
            let working = processes.iter().filter(|word| *word != "...").count();
            let (name, job) = (&kind.name, &kind.spec.job);
            let list = processes.join(" ");
            let _ = writeln!(text, "{name:<12} {wanted:>6} {working:>7} {job:<12} {list}");
        }
        text.push('\n');
        for event in &self.events {
            let _ = writeln!(text, "{event}");
        }
        text
    }
}
