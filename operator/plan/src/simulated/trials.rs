//! Passes of the operator over the simulated cluster, and the transcript that people read.

use crate::step::{Part, TlsStep};
use crate::{Plan, Step, plan};
use mainstay_operator_api::MainstayClusterSpec;

use crate::simulated::world::World;

/// Most ticks that any story may take: an hour and a half.
const PATIENCE: usize = 3000;

impl World {
    /// One pass over caches that are as new as can be.
    pub fn pass(&mut self) -> Plan {
        let cached = self.clone();
        self.pass_over(&cached, true)
    }

    /// One pass over old caches; a step that is not carried out stands for a crash before it.
    pub fn pass_over(&mut self, cached: &World, acts: bool) -> Plan {
        let seen = self.observe(cached);
        let plan = plan(&seen);
        self.status = Some(plan.status.clone());
        if let Some(step) = plan.step.as_ref().filter(|_| acts) {
            self.act(step, &seen);
        }
        plan
    }

    /// Passes and ticks until nothing is left to do and nothing changes; each step as a line.
    pub fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            let plan = self.pass();
            self.assert_sound(&lines);
            if self.gone {
                lines.extend(plan.step.iter().map(|step| self.line(step)));
                return lines;
            }
            match &plan.step {
                Some(step) => {
                    let line = self.line(step);
                    if lines.last() == Some(&line) {
                        self.tick();
                    }
                    lines.push(line);
                    quiet = 0;
                }
                None => {
                    quiet += 1;
                    self.tick();
                }
            }
            if quiet > 60 {
                return lines;
            }
        }
        panic!("it does not come to an end:\n{}", lines.join("\n"));
    }

    /// Passes and ticks for so long, whatever happens.
    pub fn watch_for(&mut self, seconds: i64) -> Vec<String> {
        let end = self.later(seconds);
        let mut lines = Vec::new();
        while self.now < end {
            let plan = self.pass();
            self.assert_sound(&lines);
            lines.extend(plan.step.iter().map(|step| self.line(step)));
            self.tick();
        }
        lines
    }

    /// A volume is lost with its pod.
    pub fn lose_volume(&mut self, ordinal: u32) {
        self.pods.remove(&ordinal);
        self.volumes.remove(&ordinal);
        self.elect();
    }

    pub fn annotate(&mut self, key: &str, text: &str) {
        self.cluster
            .annotations
            .insert(key.to_owned(), text.to_owned());
    }

    pub fn assert_sound(&self, lines: &[String]) {
        assert!(
            self.violations.is_empty(),
            "{:?} after\n{}",
            self.violations,
            lines.join("\n")
        );
    }

    pub fn condition(&self, kind: &str) -> String {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        let found = conditions
            .into_iter()
            .find(|condition| condition.type_ == kind);
        found.map_or_else(String::new, |condition| {
            format!("{} {}", condition.status, condition.reason)
        })
    }

    pub fn message(&self, kind: &str) -> String {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        let found = conditions
            .into_iter()
            .find(|condition| condition.type_ == kind);
        found.map_or_else(String::new, |condition| condition.message.clone())
    }

    fn name(&self, id: u64) -> String {
        let list = self.raft.iter().flat_map(|raft| &raft.list);
        let member = list.into_iter().find(|member| member.id == id);
        let ordinal = member.and_then(|member| self.ordinal(member));
        ordinal.map_or_else(|| "a member".to_owned(), |ordinal| format!("db-{ordinal}"))
    }

    /// A step in words. Called after it was carried out.
    fn line(&self, step: &Step) -> String {
        match step {
            Step::AddFinalizer => "add the finalizer".to_owned(),
            Step::Apply(parts) if parts == &[Part::Workload] => "apply the StatefulSet".to_owned(),
            Step::Apply(parts) => format!("apply {} objects", parts.len()),
            Step::WriteRecord(record) => {
                let rows = record
                    .members
                    .iter()
                    .map(|(ordinal, member)| format!("{ordinal}:{:?}", member.phase));
                let mut rows: Vec<String> = rows.collect();
                if let Some((phase, survivor)) = record
                    .recovery
                    .as_ref()
                    .map(|recovery| (recovery.phase, recovery.survivor))
                {
                    rows.push(format!("recovery {phase:?} {survivor:?}"));
                }
                if record.hibernated {
                    rows.push("hibernated".to_owned());
                }
                for (plane, rotation) in &record.rotation {
                    rows.push(format!("{plane:?} CA {:?}", rotation.phase));
                }
                format!("note {}", rows.join(" ")).replace(":Voter", "")
            }
            Step::ScaleWorkload { replicas } => format!("scale to {replicas} pods"),
            Step::RecreateWorkload { .. } => "make the StatefulSet anew around its pods".to_owned(),
            Step::AddLearner { ordinal, .. } => format!("add learner db-{ordinal}"),
            Step::Promote { id } => format!("promote {}", self.name(*id)),
            Step::RemoveMember { .. } => "remove the member".to_owned(),
            Step::MoveLeader { from, to } => format!(
                "move the leader from {} to {}",
                self.name(*from),
                self.name(*to)
            ),
            Step::DeletePod { ordinal, .. } => format!("delete pod db-{ordinal}"),
            Step::DeleteVolume { ordinal, .. } => format!("delete volume {ordinal}"),
            Step::GrowVolume { ordinal, .. } => format!("grow volume {ordinal}"),
            Step::AnnotatePods { ordinals, .. } => format!("tell pods {ordinals:?}"),
            Step::Issue(TlsStep::CreateCa(plane)) => format!("create the {plane:?} CA"),
            Step::Issue(step) => format!("{step:?}"),
            Step::Compact { .. } => "compact".to_owned(),
            Step::Disarm { .. } => "disarm".to_owned(),
            Step::EnableAuth => "enable authentication".to_owned(),
            Step::SetRootPassword => "set the password of root".to_owned(),
            Step::DeleteWorkload { .. } => "delete the StatefulSet".to_owned(),
            Step::RemoveFinalizer => "remove the finalizer".to_owned(),
        }
    }
}

/// A cluster of so many members that is ready.
pub fn running(replicas: u32) -> World {
    let mut world = World::new(MainstayClusterSpec {
        replicas,
        ..MainstayClusterSpec::default()
    });
    world.settle();
    assert_eq!(
        world.condition("Ready"),
        "True AsAsked",
        "{}",
        world.message("Ready")
    );
    world
}
