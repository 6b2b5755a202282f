//! Committed entries as raft hands them over.

use bytes::Bytes;
use mainstay_proto::entry::{Command, command::Body};
use prost::Message;

use crate::Error;

/// The format of a [`Command`] that this apply understands.
pub const FORMAT: u32 = 1;

/// One committed entry of the log.
#[derive(Debug, Clone)]
pub struct AppliedEntry {
    pub term: u64,
    pub index: u64,
    pub payload: EntryPayload,
}

#[derive(Debug, Clone)]
pub enum EntryPayload {
    /// A new leader's first entry; only the position moves.
    Blank,
    /// An encoded [`Command`].
    Command(Bytes),
    /// A membership, opaque here: kept with the position of its entry.
    Membership(Bytes),
}

/// What a command entry says, once understood.
pub(crate) struct Request {
    pub proposer: u64,
    pub request: u64,
    pub body: Body,
}

/// Decodes a command. Every error stops the member: skipping an entry that others understand
/// would make this member differ from them for good.
pub(crate) fn decode(index: u64, bytes: &Bytes) -> Result<Request, Error> {
    let command =
        Command::decode(bytes.clone()).map_err(|source| Error::Undecodable { index, source })?;
    if command.format != FORMAT {
        return Err(Error::UnknownFormat {
            index,
            format: command.format,
        });
    }
    let Command {
        proposer,
        request,
        body,
        ..
    } = command;
    let body = body.ok_or(Error::UnknownCommand { index })?;
    Ok(Request {
        proposer,
        request,
        body,
    })
}
