//! Follows all events of one member from the first revision on: the truth as that member tells it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mainstay_model::{Event, MemberLog};
use mainstay_proto::etcdserverpb as pb;
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Status, Streaming};

use crate::{connection::Connection, convert};

/// Before a member that is down is asked again.
const RECONNECT: Duration = Duration::from_millis(100);

/// A collector at work.
#[derive(Debug)]
pub struct Collector {
    through: Arc<AtomicI64>,
    task: JoinHandle<MemberLog>,
}

impl Collector {
    #[must_use]
    pub fn spawn(connection: Connection, stop: watch::Receiver<bool>) -> Collector {
        let through = Arc::new(AtomicI64::new(1));
        let task = tokio::spawn(collect(connection, Arc::clone(&through), stop));
        Collector { through, task }
    }

    /// The newest revision that it has.
    #[must_use]
    pub fn through(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.through)
    }

    /// # Errors
    /// If the task panicked.
    pub async fn finish(self) -> anyhow::Result<MemberLog> {
        Ok(self.task.await?)
    }
}

async fn collect(
    connection: Connection,
    through: Arc<AtomicI64>,
    mut stop: watch::Receiver<bool>,
) -> MemberLog {
    let mut log = MemberLog {
        member: connection.member,
        label: "live".to_owned(),
        from: 2,
        through: 1,
        events: Vec::new(),
    };
    while !*stop.borrow() {
        tokio::select! {
            // A broken stream is expected when its member dies; what it gave is complete by
            // revision, so the next one goes on behind it.
            _ = follow(&connection, &mut log, &through) => {}
            _ = stop.changed() => {}
        }
        if !*stop.borrow() {
            tokio::time::sleep(RECONNECT).await;
        }
    }
    log
}

async fn follow(
    connection: &Connection,
    log: &mut MemberLog,
    through: &AtomicI64,
) -> Result<(), Status> {
    let (_sender, mut stream) = open(connection, log.through + 1).await?;
    while let Some(response) = stream.message().await? {
        log.events
            .extend(response.events.into_iter().map(convert::event));
        if let Some(event) = log.events.last() {
            log.through = event.revision();
            through.store(log.through, Ordering::Relaxed);
        }
        if response.canceled {
            return Ok(());
        }
    }
    Ok(())
}

type RequestSender = tokio::sync::mpsc::Sender<pb::WatchRequest>;

async fn open(
    connection: &Connection,
    from: i64,
) -> Result<(RequestSender, Streaming<pb::WatchResponse>), Status> {
    let create = pb::WatchCreateRequest {
        key: convert::text("\0"),
        range_end: convert::text("\0"),
        start_revision: from,
        ..Default::default()
    };
    // The sender is kept: dropping it would half-close the stream.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    let first = pb::WatchRequest {
        request_union: Some(union),
    };
    if sender.send(first).await.is_err() {
        return Err(Status::internal("the request stream is closed"));
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let stream = connection.watch().watch(requests).await?.into_inner();
    Ok((sender, stream))
}

/// Reads all events of a quiet member again, from after its compacted revision.
///
/// # Errors
/// If the member does not give all of them in `timeout`.
pub async fn read_again(
    connection: &Connection,
    from: i64,
    through: i64,
    timeout: Duration,
) -> anyhow::Result<MemberLog> {
    let mut events: Vec<Event> = Vec::new();
    let read = async {
        if from > through {
            return Ok(());
        }
        let (_sender, mut stream) = open(connection, from).await?;
        while events.last().map_or(0, Event::revision) < through {
            match stream.message().await? {
                Some(response) if response.canceled => {
                    anyhow::bail!("canceled: compacted at {}", response.compact_revision)
                }
                Some(response) => events.extend(response.events.into_iter().map(convert::event)),
                None => anyhow::bail!("the stream ended"),
            }
        }
        Ok(())
    };
    let result: anyhow::Result<()> = match tokio::time::timeout(timeout, read).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("timed out")),
    };
    let at = events.last().map_or(from - 1, Event::revision);
    result.map_err(|error| {
        anyhow::anyhow!(
            "member {} does not tell its events from {from} through {through} again: {error}; \
             it got to {at}",
            connection.member
        )
    })?;
    let label = "read again".to_owned();
    Ok(MemberLog {
        member: connection.member,
        label,
        from,
        through: at,
        events,
    })
}
