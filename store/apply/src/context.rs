//! What the apply of one command works on.

use mainstay_auth::Applying as ApplyingAuth;
use mainstay_lease::Applying;
use mainstay_mvcc::Batch;
use mainstay_proto::etcdserverpb::ResponseHeader;

use crate::alarm::Alarms;

/// One command's view of the batch it is part of.
pub(crate) struct Context<'c, 'w, 'l> {
    pub batch: &'c mut Batch<'w>,
    pub leases: &'c mut Applying<'l>,
    pub alarms: &'c mut Alarms,
    pub auth: &'c mut ApplyingAuth<'l>,
    /// The member that took the request.
    pub proposer: u64,
    /// Term and index of the entry.
    pub term: u64,
    pub index: u64,
}

/// A header with the revision only: ids and term are the API's to fill in, and inside a txn's
/// responses they stay empty (as in etcd).
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

/// A key to move from one lease to another once its mutation is complete; 0 stands for none.
pub(crate) struct Attachment {
    pub key: bytes::Bytes,
    pub from: i64,
    pub to: i64,
}

/// Tells the lessor what a finished mutation has moved.
pub(crate) fn attach_all(leases: &mut Applying<'_>, attachments: Vec<Attachment>) {
    for Attachment { key, from, to } in attachments {
        leases.attach(&key, from, to);
    }
}
