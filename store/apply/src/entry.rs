//! Committed entries as raft hands them over.

use bytes::Bytes;
use mainstay_auth::Caller;
use mainstay_proto::{
    entry::{
        self, Command,
        command::{Body, Origin},
    },
    etcdserverpb::{TxnRequest, request_op::Request as Op},
};
use prost::Message;

use crate::quota::{self, Quota};
use crate::{ApplyError, Error};

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

/// Levels a txn may be nested, itself included. Our decoder follows a message 100 levels deep, a
/// level of nesting costs two, and an entry that members could not decode would stop them all.
pub const TXN_DEPTH_MAX: usize = 40;

/// The bytes of a command entry. The one way for a proposer to make them: it refuses what apply
/// could not decode ([`ApplyError::TooDeep`]) and sets the format. `quota` is the proposer's, as in
/// [`crate::ApplyOptions`]: all members judge the command by it.
pub fn encode(
    proposer: u64,
    request: u64,
    caller: Caller,
    quota: i64,
    body: Body,
) -> Result<Bytes, ApplyError> {
    if let Body::Txn(txn) = &body
        && !nests_within(txn, TXN_DEPTH_MAX)
    {
        return Err(ApplyError::TooDeep);
    }
    let command = Command {
        format: FORMAT,
        proposer,
        request,
        origin: origin(caller),
        quota: quota::told(quota),
        body: Some(body),
    };
    Ok(Bytes::from(command.encode_to_vec()))
}

fn origin(caller: Caller) -> Option<Origin> {
    match caller {
        Caller::Nobody => None,
        Caller::Member => Some(Origin::Member(entry::Member {})),
        Caller::User { name, revision } => Some(Origin::Caller(entry::Caller {
            user: name,
            auth_revision: revision,
        })),
    }
}

/// Where an entry says nothing it is nobody's, who may do the least.
fn caller(origin: Option<Origin>) -> Caller {
    match origin {
        None => Caller::Nobody,
        Some(Origin::Member(_)) => Caller::Member,
        Some(Origin::Caller(caller)) => Caller::User {
            name: caller.user,
            revision: caller.auth_revision,
        },
    }
}

/// Whether apply will understand these bytes. A leader asks before it appends what another member
/// has encoded: an entry that is not understood stops every member.
pub fn understands(bytes: &Bytes) -> bool {
    decode(0, bytes).is_ok()
}

fn nests_within(txn: &TxnRequest, levels: usize) -> bool {
    levels > 0
        && txn
            .success
            .iter()
            .chain(&txn.failure)
            .all(|op| match &op.request {
                Some(Op::RequestTxn(inner)) => nests_within(inner, levels - 1),
                _ => true,
            })
}

/// Entries that are understood and in order of nothing but their indices; see [`crate::Applier`].
pub struct Decoded {
    pub(crate) entries: Vec<DecodedEntry>,
    may_be_long: bool,
}

pub(crate) struct DecodedEntry {
    pub term: u64,
    pub index: u64,
    pub payload: Payload,
}

pub(crate) enum Payload {
    Blank,
    Command(Request),
    Membership(Bytes),
}

impl Decoded {
    /// # Errors
    /// If one is not understood: the member must stop then.
    pub fn of(entries: &[AppliedEntry]) -> Result<Decoded, Error> {
        let mut decoded = Decoded {
            entries: Vec::with_capacity(entries.len()),
            may_be_long: false,
        };
        for entry in entries {
            let payload = match &entry.payload {
                EntryPayload::Blank => Payload::Blank,
                EntryPayload::Membership(bytes) => Payload::Membership(bytes.clone()),
                EntryPayload::Command(bytes) => {
                    let request = decode(entry.index, bytes)?;
                    decoded.may_be_long |= may_be_long(&request.body);
                    Payload::Command(request)
                }
            };
            decoded.entries.push(DecodedEntry {
                term: entry.term,
                index: entry.index,
                payload,
            });
        }
        Ok(decoded)
    }

    /// Whether applying them may touch any number of keys, and so take any time.
    pub fn may_be_long(&self) -> bool {
        self.may_be_long
    }
}

fn may_be_long(body: &Body) -> bool {
    match body {
        Body::DeleteRange(delete) => !delete.range_end.is_empty(),
        Body::Txn(txn) => has_range(txn),
        // As many keys as have been attached to it.
        Body::LeaseRevoke(_) => true,
        _ => false,
    }
}

fn has_range(txn: &TxnRequest) -> bool {
    let compares = txn
        .compare
        .iter()
        .any(|compare| !compare.range_end.is_empty());
    let mut ops = txn.success.iter().chain(&txn.failure);
    compares
        || ops.any(|op| match &op.request {
            Some(Op::RequestRange(range)) => !range.range_end.is_empty(),
            Some(Op::RequestDeleteRange(delete)) => !delete.range_end.is_empty(),
            Some(Op::RequestTxn(inner)) => has_range(inner),
            _ => false,
        })
}

/// What a command entry says, once understood.
pub(crate) struct Request {
    pub proposer: u64,
    pub request: u64,
    pub caller: Caller,
    /// None where the entry tells none.
    pub quota: Option<Quota>,
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
        origin,
        quota,
        body,
        ..
    } = command;
    let body = body.ok_or(Error::UnknownCommand { index })?;
    Ok(Request {
        proposer,
        request,
        caller: caller(origin),
        quota: (quota != 0).then(|| Quota::new(quota)),
        body,
    })
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp};

    use super::*;

    /// A put inside `levels` txns.
    fn nested(levels: usize) -> TxnRequest {
        let put = Op::RequestPut(PutRequest::default());
        let mut txn = TxnRequest::default();
        txn.success.push(RequestOp { request: Some(put) });
        for _ in 1..levels {
            let inner = RequestOp {
                request: Some(Op::RequestTxn(txn)),
            };
            txn = TxnRequest {
                failure: vec![inner],
                ..TxnRequest::default()
            };
        }
        txn
    }

    #[test]
    fn the_deepest_txn_that_can_be_proposed_can_be_decoded() {
        let deepest = encode(1, 2, Caller::Member, 0, Body::Txn(nested(TXN_DEPTH_MAX)))
            .expect("within the limit");
        assert!(decode(9, &deepest).is_ok());
        let deeper = encode(
            1,
            2,
            Caller::Member,
            0,
            Body::Txn(nested(TXN_DEPTH_MAX + 1)),
        );
        assert_eq!(deeper, Err(ApplyError::TooDeep));
        assert!(understands(&deepest) && !understands(&Bytes::from_static(b"\xff")));
    }

    #[test]
    fn work_without_a_bound_is_told_from_work_with_one() {
        let of = |body| {
            let bytes = encode(1, 2, Caller::Member, 0, body).expect("a command");
            let entry = AppliedEntry {
                term: 1,
                index: 1,
                payload: EntryPayload::Command(bytes),
            };
            Decoded::of(&[entry]).expect("own bytes").may_be_long()
        };
        let delete = |range_end: &'static [u8]| DeleteRangeRequest {
            key: "a".into(),
            range_end: Bytes::from_static(range_end),
            ..Default::default()
        };
        assert!(!of(Body::Put(PutRequest::default())));
        assert!(!of(Body::DeleteRange(delete(b""))));
        assert!(of(Body::DeleteRange(delete(b"b"))));
        assert!(!of(Body::Txn(nested(3))));
        let mut inner = nested(1);
        inner.failure.push(RequestOp {
            request: Some(Op::RequestDeleteRange(delete(b"\0"))),
        });
        let mut outer = TxnRequest::default();
        outer.success.push(RequestOp {
            request: Some(Op::RequestTxn(inner)),
        });
        assert!(of(Body::Txn(outer)));
    }

    #[test]
    fn an_entry_says_on_whose_behalf_it_is() {
        let callers = [
            Caller::Nobody,
            Caller::Member,
            Caller::User {
                name: "alice".into(),
                revision: 7,
            },
        ];
        for caller in callers {
            let body = Body::Put(PutRequest::default());
            let bytes = encode(1, 2, caller.clone(), 0, body).expect("a command");
            assert_eq!(decode(9, &bytes).expect("own bytes").caller, caller);
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let good =
            encode(1, 2, Caller::Member, 0, Body::Put(PutRequest::default())).expect("a put");
        assert!(decode(9, &good).is_ok());
        let truncated = good.slice(..good.len() - 1);
        assert!(matches!(
            decode(9, &truncated),
            Err(Error::Undecodable { index: 9, .. })
        ));
        let newer = Command {
            format: 2,
            ..Command::decode(good).expect("own bytes")
        };
        let newer = Bytes::from(newer.encode_to_vec());
        assert!(matches!(
            decode(9, &newer),
            Err(Error::UnknownFormat { format: 2, .. })
        ));
        let empty = Command {
            format: FORMAT,
            ..Command::default()
        }
        .encode_to_vec();
        assert!(matches!(
            decode(9, &empty.into()),
            Err(Error::UnknownCommand { .. })
        ));
    }
}
