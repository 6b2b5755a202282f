//! Watchers from the past, the present and the future, each recorded to its last response.

use std::{sync::Arc, time::Duration};

use mainstay_model::{WatchReply, Watcher};
use mainstay_proto::etcdserverpb as pb;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tonic::Status;

use crate::{connection::Connection, convert, recorder::Recorder};

/// Pause before the next watch after one that failed.
const RECONNECT: Duration = Duration::from_millis(100);

/// Progress requests that may wait to be sent.
const REQUEST_QUEUE: usize = 4;

/// Opens one watch after the other until told to stop, on any member.
pub async fn run(
    id: u32,
    connections: Vec<Connection>,
    recorder: Arc<Recorder>,
    seed: u64,
    mut stop: watch::Receiver<bool>,
) {
    let mut random = StdRng::seed_from_u64(seed ^ (u64::from(id) << 48));
    let mut resume = 0;
    while !*stop.borrow() {
        let connection = &connections[random.random_range(0..connections.len())];
        let mut watcher = choose(
            id,
            connection.member,
            recorder.revision(),
            resume,
            &mut random,
        );
        let life = Duration::from_millis(random.random_range(500..8000));
        let rhythm = Duration::from_millis(random.random_range(20..400));
        let ended = tokio::select! {
            ended = follow(connection, &mut watcher, &recorder, life, rhythm) => ended,
            _ = stop.changed() => Ok(()),
        };
        resume = last_revision(&watcher);
        recorder.watcher(watcher);
        if ended.is_err() {
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

/// Picks range, start and options. One in three goes on where the last one of this task ended, as
/// a client does that has lost its member.
fn choose(id: u32, member: u32, revision: i64, resume: i64, random: &mut StdRng) -> Watcher {
    let (key, range_end) = match random.random_range(0..4) {
        0 => ("\0", "\0"),
        1 => ("k", "l"),
        2 => ("k2", "k6"),
        _ => ("k5", ""),
    };
    let start_revision = match random.random_range(0..9) {
        0..=2 if resume > 0 => resume + 1,
        3 | 4 => (revision - random.random_range(0..300)).max(1),
        5 | 6 => revision + random.random_range(1..60),
        _ => 0,
    };
    Watcher {
        client: id,
        member,
        key: key.to_owned(),
        range_end: range_end.to_owned(),
        start_revision,
        prev_kv: random.random_bool(0.5),
        no_put: random.random_bool(0.1),
        no_delete: random.random_bool(0.1),
        replies: Vec::new(),
    }
}

/// Where the watch would be resumed: after its last event or progress.
fn last_revision(watcher: &Watcher) -> i64 {
    let told = watcher.replies.iter().filter_map(|reply| {
        let progress = reply.is_progress().then_some(reply.revision);
        reply
            .events
            .last()
            .map(mainstay_model::Event::revision)
            .or(progress)
    });
    told.max().unwrap_or(0)
}

/// Keeps one watch for `life`, asking for progress in a fixed rhythm.
///
/// # Errors
/// The status with which the stream ended.
pub async fn follow(
    connection: &Connection,
    watcher: &mut Watcher,
    recorder: &Recorder,
    life: Duration,
    rhythm: Duration,
) -> Result<(), Status> {
    let (sender, receiver) = mpsc::channel(REQUEST_QUEUE);
    let create = create(watcher);
    let sent = sender
        .send(request(pb::watch_request::RequestUnion::CreateRequest(
            create,
        )))
        .await;
    if sent.is_err() {
        return Err(Status::internal("the request stream is closed"));
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let end = Instant::now() + life;
    let mut client = connection.watch();
    let opened = tokio::time::timeout_at(end, client.watch(requests)).await;
    let Ok(opened) = opened else { return Ok(()) };
    let mut stream = opened?.into_inner();
    let mut tick = tokio::time::interval(rhythm);
    loop {
        tokio::select! {
            response = stream.message() => {
                let Some(response) = response? else { return Ok(()) };
                let ended = response.canceled;
                watcher.replies.push(reply(response, recorder.now()));
                if ended {
                    return Ok(());
                }
            }
            _ = tick.tick() => {
                let progress = pb::WatchProgressRequest {};
                let union = pb::watch_request::RequestUnion::ProgressRequest(progress);
                // A full queue means a member that does not read; one request less is no loss.
                let _ = sender.try_send(request(union));
            }
            () = tokio::time::sleep_until(end) => return Ok(()),
        }
    }
}

fn create(watcher: &Watcher) -> pb::WatchCreateRequest {
    use pb::watch_create_request::FilterType;
    let filters = [
        (watcher.no_put, FilterType::Noput),
        (watcher.no_delete, FilterType::Nodelete),
    ];
    pb::WatchCreateRequest {
        key: convert::text(&watcher.key),
        range_end: convert::text(&watcher.range_end),
        start_revision: watcher.start_revision,
        progress_notify: true,
        filters: filters
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, kind)| *kind as i32)
            .collect(),
        prev_kv: watcher.prev_kv,
        ..Default::default()
    }
}

fn request(union: pb::watch_request::RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(union),
    }
}

fn reply(response: pb::WatchResponse, time: u64) -> WatchReply {
    WatchReply {
        time,
        revision: response.header.map_or(0, |header| header.revision),
        created: response.created,
        canceled: response.canceled,
        compact_revision: response.compact_revision,
        events: response.events.into_iter().map(convert::event).collect(),
    }
}
