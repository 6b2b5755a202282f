//! What Kubernetes does by itself in one tick: the StatefulSet controller (Parallel, OnDelete), the
//! kubelet, the protection of claims that are in use.

use crate::observed::{Loaded, Plane};

use crate::simulated::world::{SimPod, SimVolume, TICK, World};

/// Ticks after which the kubelet brings changed files without being told.
const BRINGS: i64 = 30;

impl World {
    pub fn tick(&mut self) {
        self.now = self.later(TICK);
        self.stateful_set();
        self.kubelet();
        self.claims();
        self.servers();
        self.elect();
        self.readiness();
    }

    fn stateful_set(&mut self) {
        let replicas = self
            .workload
            .as_ref()
            .filter(|workload| !workload.deleting)
            .map(|workload| workload.replicas);
        if self
            .workload
            .as_ref()
            .is_some_and(|workload| workload.deleting)
        {
            self.pods
                .values_mut()
                .for_each(|pod| _ = pod.stopping.get_or_insert(1));
            if self.pods.is_empty() {
                self.workload = None;
            }
            return;
        }
        let Some(replicas) = replicas else {
            return;
        };
        for (ordinal, pod) in &mut self.pods {
            if *ordinal >= replicas {
                pod.stopping.get_or_insert(1);
            }
        }
        for ordinal in 0..replicas {
            // A missing claim of a pod that waits is made anew too.
            if !self.volumes.contains_key(&ordinal) {
                let number = self.number();
                let request = self
                    .workload
                    .as_ref()
                    .map_or(0, |workload| workload.storage_request);
                let volume = SimVolume {
                    uid: format!("volume-{number}"),
                    request,
                    ..SimVolume::default()
                };
                self.volumes.insert(ordinal, volume);
            }
            if !self.pods.contains_key(&ordinal) {
                let number = self.number();
                let revision = self
                    .workload
                    .as_ref()
                    .map(|workload| workload.update_revision.clone());
                let pod = SimPod {
                    uid: format!("pod-{number}"),
                    revision: revision.unwrap_or_default(),
                    created: self.now,
                    unready_since: Some(self.now),
                    ..SimPod::default()
                };
                self.pods.insert(ordinal, pod);
            }
        }
    }

    fn kubelet(&mut self) {
        let intents = self
            .kept
            .as_ref()
            .map(|kept| kept.record.intents(&self.cluster))
            .unwrap_or_default();
        let brought_by = self.later(-BRINGS * TICK);
        let now = self.now;
        let mut ended = Vec::new();
        for (ordinal, pod) in &mut self.pods {
            if let Some(left) = &mut pod.stopping {
                if pod.node_gone {
                    continue;
                }
                if *left == 0 {
                    ended.push(*ordinal);
                } else {
                    *left -= 1;
                    pod.running = false;
                }
                continue;
            }
            if pod.node_gone || pod.crashing {
                pod.running = false;
                pod.waiting = pod.crashing.then(|| "CrashLoopBackOff".to_owned());
                continue;
            }
            let version = pod.revision.split('/').next().unwrap_or_default();
            if self.broken.contains(version) && !pod.running {
                pod.waiting = Some("ImagePullBackOff".to_owned());
                continue;
            }
            let volume = self
                .volumes
                .get(ordinal)
                .filter(|volume| !volume.deleting || pod.running);
            let starts = volume.is_some() && !pod.running;
            pod.waiting = volume.is_none().then(|| "Unschedulable".to_owned());
            if self.blocked.contains(ordinal) && !pod.running {
                pod.waiting = Some("Unschedulable".to_owned());
                continue;
            }
            if volume.is_none() {
                pod.running = false;
                continue;
            }
            pod.running = true;
            if starts || pod.brought <= brought_by {
                pod.brought = now;
                pod.intent = intents.get(ordinal).cloned();
                pod.loaded = loaded(&self.tls);
            }
        }
        for ordinal in ended {
            self.pods.remove(&ordinal);
        }
    }

    /// An annotation was written: files are brought now.
    pub fn bring(&mut self, ordinal: u32) {
        let intents = self
            .kept
            .as_ref()
            .map(|kept| kept.record.intents(&self.cluster))
            .unwrap_or_default();
        let files = loaded(&self.tls);
        if let Some(pod) = self.pods.get_mut(&ordinal).filter(|pod| pod.running) {
            pod.brought = self.now;
            pod.intent = intents.get(&ordinal).cloned();
            pod.loaded = files;
        }
    }

    fn claims(&mut self) {
        let used: Vec<u32> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.running || pod.crashing || pod.node_gone)
            .map(|(ordinal, _)| *ordinal)
            .collect();
        self.volumes
            .retain(|ordinal, volume| !volume.deleting || used.contains(ordinal));
    }

    pub fn readiness(&mut self) {
        let parts = self.parts_taken();
        let raft = self.raft.clone().unwrap_or_default();
        let now = self.now;
        for (ordinal, pod) in &mut self.pods {
            let id = parts
                .iter()
                .find(|(_, place)| *place == ordinal)
                .map(|(id, _)| *id);
            let votes = raft
                .list
                .iter()
                .any(|member| Some(member.id) == id && !member.learner);
            pod.ready = pod.running && votes && raft.leader != 0 && pod.stopping.is_none();
            pod.unready_since = match (pod.ready, pod.unready_since) {
                (true, _) => None,
                (false, since) => since.or(Some(now)),
            };
            if pod.ready {
                self.by_our_hand.remove(ordinal);
            }
        }
    }
}

fn loaded(tls: &crate::observed::TlsView) -> std::collections::BTreeMap<Plane, Loaded> {
    let shown = tls
        .leaves
        .iter()
        .filter(|(leaf, _)| leaf.is_loaded_by_members());
    shown
        .map(|(leaf, certificate)| {
            let loaded = Loaded {
                fingerprint: certificate.fingerprint.clone(),
                bundle: certificate.bundle.clone(),
            };
            (leaf.plane(), loaded)
        })
        .collect()
}
