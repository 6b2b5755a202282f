//! The loop against a scripted store: triggers come when the script says so, and reconciles end when
//! it says so.

use futures::stream::{BoxStream, SelectAll, select_all};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use super::*;
use crate::controller::queue::Limits;

struct Script {
    sources: Vec<mpsc::UnboundedReceiver<Trigger>>,
}

impl Triggers for Script {
    fn sources(&self) -> usize {
        self.sources.len()
    }

    fn stream(self) -> SelectAll<BoxStream<'static, Trigger>> {
        let sources = self.sources.into_iter();
        select_all(sources.map(|source| UnboundedReceiverStream::new(source).boxed()))
    }
}

/// A reconcile that has begun, and how to end it.
type Begun = (String, oneshot::Sender<Action>);

struct Stage {
    sources: Vec<mpsc::UnboundedSender<Trigger>>,
    begun: mpsc::UnboundedReceiver<Begun>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

fn stage(sources: usize, concurrency: usize, grace: Duration) -> Stage {
    let (senders, receivers) = (0..sources).map(|_| mpsc::unbounded_channel()).unzip();
    let (tell, begun) = mpsc::unbounded_channel::<Begun>();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let metrics = Metrics::default();
        let runner = Runner {
            triggers: Script { sources: receivers },
            queue: Queue::new(Limits::default()),
            concurrency,
            grace,
            metrics: &metrics,
            begin: |name: String| {
                let (end, ended) = oneshot::channel();
                tell.send((name, end)).unwrap();
                async move { ended.await.unwrap() }
            },
        };
        let stop = Box::pin(async move { stopped.await.unwrap_or(()) });
        runner.run(stop).await
    });
    Stage {
        sources: senders,
        begun,
        stop: Some(stop),
        ended,
    }
}

impl Stage {
    fn tell(&self, source: usize, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.sources[source].send(Trigger::Names(names)).unwrap();
    }

    fn synced(&self, source: usize) {
        self.sources[source].send(Trigger::Synced(source)).unwrap();
    }

    async fn begins(&mut self) -> Begun {
        self.begun.recv().await.unwrap()
    }
}

#[tokio::test]
async fn nothing_is_reconciled_before_all_is_known() {
    let mut stage = stage(2, 8, Duration::ZERO);
    stage.tell(0, &["a"]);
    stage.synced(0);
    // The second source has told nothing yet: had "a" begun, it would come before "b" here.
    tokio::task::yield_now().await;
    assert!(stage.begun.try_recv().is_err());
    stage.tell(1, &["b"]);
    stage.synced(1);
    let (first, _) = stage.begins().await;
    let (second, _) = stage.begins().await;
    let mut names = [first, second];
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn a_name_that_is_running_begins_again_only_when_it_has_ended() {
    let mut stage = stage(1, 8, Duration::ZERO);
    stage.synced(0);
    stage.tell(0, &["a"]);
    let (_, first) = stage.begins().await;
    stage.tell(0, &["a", "b"]);
    let (other, _held) = stage.begins().await;
    assert_eq!(other, "b", "a is running");
    first.send(Action::AwaitChange).unwrap();
    assert_eq!(stage.begins().await.0, "a");
}

#[tokio::test]
async fn no_more_run_at_once_than_are_allowed() {
    let mut stage = stage(1, 2, Duration::ZERO);
    stage.synced(0);
    stage.tell(0, &["a", "b", "c"]);
    let (_, first) = stage.begins().await;
    let (_, _second) = stage.begins().await;
    // A trigger that has been taken shows that the loop went round.
    stage.tell(0, &["a"]);
    tokio::task::yield_now().await;
    assert!(stage.begun.try_recv().is_err());
    first.send(Action::AwaitChange).unwrap();
    assert_eq!(stage.begins().await.0, "c");
}

#[tokio::test]
async fn one_that_fails_comes_back_and_the_others_go_on() {
    let mut stage = stage(1, 8, Duration::ZERO);
    stage.synced(0);
    stage.tell(0, &["bad"]);
    for _ in 0..3 {
        let (name, end) = stage.begins().await;
        assert_eq!(name, "bad");
        end.send(Action::BackOff).unwrap();
    }
    stage.tell(0, &["good"]);
    let mut seen = Vec::new();
    while !seen.contains(&"good".to_owned()) {
        let (name, end) = stage.begins().await;
        seen.push(name);
        end.send(Action::BackOff).unwrap();
    }
}

#[tokio::test]
async fn a_stop_lets_end_what_is_under_way_and_begins_nothing() {
    let mut stage = stage(1, 1, Duration::from_secs(60));
    stage.synced(0);
    stage.tell(0, &["a", "b"]);
    let (_, end) = stage.begins().await;
    stage.stop.take().unwrap().send(()).unwrap();
    assert!(!stage.ended.is_finished());
    end.send(Action::AwaitChange).unwrap();
    stage.ended.await.unwrap().unwrap();
    assert!(stage.begun.recv().await.is_none(), "b was begun");
}

#[tokio::test]
async fn a_reconcile_that_does_not_end_is_cut_off_by_a_stop() {
    let mut stage = stage(1, 1, Duration::from_millis(1));
    stage.synced(0);
    stage.tell(0, &["a"]);
    let (_, _end) = stage.begins().await;
    stage.stop.take().unwrap().send(()).unwrap();
    stage.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_source_that_fails_ends_it() {
    let stage = stage(1, 1, Duration::ZERO);
    let denied = Error::Refused {
        call: "Range",
        code: Code::PermissionDenied,
        message: "permission denied".to_owned(),
    };
    stage.sources[0].send(Trigger::Failed(denied)).unwrap();
    let error = stage.ended.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(Code::PermissionDenied));
}
