use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mainstay_proto::etcdserverpb::{WatchRequest, WatchResponse};
use mainstay_proto::mvccpb::Event;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::normalise::{Ids, event};
use crate::target::Connection;

/// Requests that may wait on one watch stream.
const QUEUE: usize = 64;

/// One event as a watcher got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub revision: i64,
    pub event: Event,
}

/// Everything a watch stream has brought so far. How events are batched into responses is free, so
/// they are kept per watcher; created, cancelled and progress responses keep their order.
#[derive(Debug, Default)]
pub struct Log {
    pub controls: VecDeque<WatchResponse>,
    pub events: BTreeMap<i64, Vec<Seen>>,
    /// Rules of the stream itself that were broken, in words.
    pub violations: Vec<String>,
    /// How the stream ended, once it has.
    pub ended: Option<String>,
    open: BTreeSet<i64>,
    newest_header: BTreeMap<i64, i64>,
    in_fragment: BTreeSet<i64>,
}

impl Log {
    fn take(&mut self, mut response: WatchResponse, ids: &Ids) {
        for one in &mut response.events {
            event(one, ids);
        }
        if response.created || response.canceled || response.events.is_empty() {
            self.control(response);
            return;
        }
        let id = response.watch_id;
        if !self.open.contains(&id) {
            self.violations
                .push(format!("events of watch {id} before its created response"));
        }
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        self.check_order(id, header, &response);
        if response.fragment {
            self.in_fragment.insert(id);
        } else {
            self.in_fragment.remove(&id);
        }
        let log = self.events.entry(id).or_default();
        for event in response.events {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            log.push(Seen { revision, event });
        }
    }

    fn control(&mut self, response: WatchResponse) {
        let id = response.watch_id;
        if response.created && !response.canceled {
            self.open.insert(id);
            self.newest_header.remove(&id);
        } else if response.canceled && !response.created {
            self.open.remove(&id);
        }
        self.controls.push_back(response);
    }

    /// Revisions of a watcher rise, are never behind the header, and one revision is never split
    /// over two responses unless the first says it is a fragment.
    fn check_order(&mut self, id: i64, header: i64, response: &WatchResponse) {
        let newest = self.newest_header.entry(id).or_insert(0);
        if header < *newest {
            let text = format!("watch {id}: header revision {header} after {newest}");
            self.violations.push(text);
        }
        *newest = header.max(*newest);
        let mut last = self
            .events
            .get(&id)
            .and_then(|log| log.last())
            .map_or(0, |e| e.revision);
        for (at, event) in response.events.iter().enumerate() {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            if revision < last {
                self.violations
                    .push(format!("watch {id}: revision {revision} after {last}"));
            }
            if at == 0 && revision == last && !self.in_fragment.contains(&id) {
                self.violations
                    .push(format!("watch {id}: revision {revision} in two responses"));
            }
            if revision > header {
                let text = format!("watch {id}: event {revision} above its header {header}");
                self.violations.push(text);
            }
            last = revision;
        }
    }
}

/// One open watch stream and its log.
#[derive(Debug)]
pub struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    log: Arc<Mutex<Log>>,
    news: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Stream {
    /// Opens a stream; `ids` are those of the cluster, and lease ids known by now.
    pub fn open(connection: &Connection, ids: Arc<Mutex<Ids>>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let log = Arc::new(Mutex::new(Log::default()));
        let news = Arc::new(Notify::new());
        let mut client = connection.watch.clone();
        let (sink, bell) = (log.clone(), news.clone());
        let task = tokio::spawn(async move {
            // The call itself is answered only once the server has sent its first response.
            let end = match client.watch(ReceiverStream::new(queue)).await {
                Ok(answer) => {
                    let mut stream = answer.into_inner();
                    loop {
                        match stream.next().await {
                            Some(Ok(response)) => sink.lock().take(response, &ids.lock()),
                            Some(Err(status)) => break format!("{status:?}"),
                            None => break "ended".to_owned(),
                        }
                        bell.notify_waiters();
                    }
                }
                Err(status) => format!("{:?} {}", status.code(), status.message()),
            };
            sink.lock().ended = Some(end);
            bell.notify_waiters();
        });
        Self {
            requests,
            log,
            news,
            task,
        }
    }

    pub async fn send(&self, request: WatchRequest) {
        // A closed stream shows in the log.
        let _ = self.requests.send(request).await;
    }

    /// Waits until `done` says so of the log; false after `wait`.
    pub async fn until(&self, wait: Duration, mut done: impl FnMut(&mut Log) -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let bell = self.news.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            if done(&mut self.log.lock()) {
                return true;
            }
            if tokio::time::timeout_at(deadline, bell).await.is_err() {
                return done(&mut self.log.lock());
            }
        }
    }

    pub fn with<T>(&self, read: impl FnOnce(&mut Log) -> T) -> T {
        read(&mut self.log.lock())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::ResponseHeader;
    use mainstay_proto::mvccpb::KeyValue;

    use super::*;

    fn response(id: i64, header: i64, revisions: &[i64]) -> WatchResponse {
        let event = |mod_revision: &i64| Event {
            kv: Some(KeyValue {
                mod_revision: *mod_revision,
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        WatchResponse {
            header: Some(ResponseHeader {
                revision: header,
                ..ResponseHeader::default()
            }),
            watch_id: id,
            events: revisions.iter().map(event).collect(),
            ..WatchResponse::default()
        }
    }

    fn created(id: i64) -> WatchResponse {
        WatchResponse {
            created: true,
            ..response(id, 1, &[])
        }
    }

    #[test]
    fn a_well_behaved_stream_breaks_no_rule() {
        let mut log = Log::default();
        log.take(created(0), &Ids::default());
        log.take(response(0, 3, &[2, 3, 3]), &Ids::default());
        log.take(response(0, 5, &[4, 5]), &Ids::default());
        assert_eq!(log.violations, Vec::<String>::new());
        assert_eq!(log.events[&0].len(), 5);
    }

    #[test]
    fn each_broken_rule_is_told() {
        let mut log = Log::default();
        log.take(response(0, 3, &[3]), &Ids::default());
        log.take(created(0), &Ids::default());
        log.take(response(0, 4, &[3]), &Ids::default());
        log.take(response(0, 3, &[4]), &Ids::default());
        log.take(response(0, 9, &[2]), &Ids::default());
        let all = log.violations.join("\n");
        for words in [
            "before its created",
            "in two responses",
            "above its header",
            "after 4",
        ] {
            assert!(all.contains(words), "{words} is missing in {all}");
        }
        assert!(all.contains("header revision 3 after 4"), "{all}");
    }
}
