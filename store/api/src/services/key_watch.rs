//! A watch of the server's own, for services that wait for a change: events instead of frames.
//!
//! It is a stream of the hub like any client's, so it is bounded like one, and dropping it ends
//! it.

use std::collections::VecDeque;

use bytes::Bytes;
use mainstay_proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchResponse};
use mainstay_proto::mvccpb::{Event, event::EventType};
use mainstay_watch::{Control, Stream};
use prost::Message;
use tonic::Status;

use crate::context::Context;
use crate::error::Error;

/// The events of one key or of a range.
pub struct KeyWatch {
    /// Dropping it would be a half close, which a stream survives; it is kept to keep the order
    /// of things plain.
    _control: Control,
    stream: Stream,
    header: ResponseHeader,
    events: VecDeque<Event>,
}

impl KeyWatch {
    /// Watches from `start_revision` on; an empty `range_end` stands for the one key.
    pub async fn open(
        context: &Context,
        key: Bytes,
        range_end: Bytes,
        start_revision: i64,
    ) -> Result<KeyWatch, Status> {
        let (control, stream) = context.hub.open_stream();
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision,
            ..Default::default()
        };
        control.create(create).await.map_err(|_| Error::Stopped)?;
        Ok(KeyWatch {
            _control: control,
            stream,
            header: ResponseHeader::default(),
            events: VecDeque::new(),
        })
    }

    /// The next event with the header of its response. `None` when the watch was cancelled: what
    /// it would read next has been compacted away, and its owner has to look at the store again.
    pub async fn next(&mut self) -> Result<Option<(ResponseHeader, Event)>, Status> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some((self.header, event)));
            }
            let frame = self.stream.next().await.ok_or(Error::Stopped)?;
            let response = WatchResponse::decode(frame).map_err(|error| {
                tracing::error!(%error, "the hub made a frame that cannot be read");
                Error::Storage
            })?;
            if response.canceled {
                return Ok(None);
            }
            self.header = response.header.unwrap_or_default();
            self.events = response.events.into();
        }
    }

    /// Returns once there has been a deletion, or the watch was cancelled.
    pub async fn deleted(&mut self) -> Result<(), Status> {
        while let Some((_, event)) = self.next().await? {
            if event.r#type() == EventType::Delete {
                break;
            }
        }
        Ok(())
    }
}
