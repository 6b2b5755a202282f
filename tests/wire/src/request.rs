use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;

/// Longest description of a request in a report, in bytes.
const DESCRIPTION: usize = 1500;

/// One request as the suite sends it to both servers. Lease and member ids are canonical.
#[derive(Clone, Debug)]
pub enum Request {
    Range(pb::RangeRequest),
    RangeStream(pb::RangeRequest),
    Put(pb::PutRequest),
    DeleteRange(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    LeaseGrant(pb::LeaseGrantRequest),
    LeaseRevoke(pb::LeaseRevokeRequest),
    /// All sent on one stream, which is then half-closed.
    LeaseKeepAlive(Vec<pb::LeaseKeepAliveRequest>),
    LeaseTimeToLive(pb::LeaseTimeToLiveRequest),
    LeaseLeases,
    MemberList(pb::MemberListRequest),
    /// URLs may be canonical, as `peer-url-1`.
    MemberAdd(pb::MemberAddRequest),
    MemberRemove(pb::MemberRemoveRequest),
    MemberUpdate(pb::MemberUpdateRequest),
    MemberPromote(pb::MemberPromoteRequest),
    Alarm(pb::AlarmRequest),
    Status,
    Defragment,
    Hash,
    HashKv(pb::HashKvRequest),
    MoveLeader(pb::MoveLeaderRequest),
    Downgrade(pb::DowngradeRequest),
    WatchCreate {
        stream: usize,
        create: pb::WatchCreateRequest,
    },
    WatchCancel {
        stream: usize,
        id: i64,
    },
    WatchProgress {
        stream: usize,
    },
    /// A watch request none of whose arms is set.
    WatchUnset {
        stream: usize,
    },
    /// Any bytes to any path, for methods that do not exist and messages that cannot be decoded.
    Raw {
        path: &'static str,
        body: Bytes,
    },
}

impl Request {
    /// Whether the answer comes from the member's own state, which may lag behind the leader's.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Range(range) | Self::RangeStream(range) => range.serializable,
            Self::Txn(_) | Self::LeaseTimeToLive(_) | Self::LeaseLeases => true,
            Self::LeaseKeepAlive(_) | Self::LeaseGrant(_) => true,
            Self::Status | Self::Defragment | Self::Hash | Self::HashKv(_) => true,
            Self::WatchCreate { .. } | Self::WatchCancel { .. } => true,
            Self::WatchProgress { .. } | Self::WatchUnset { .. } => true,
            _ => false,
        }
    }

    pub fn describe(&self) -> String {
        let mut text = format!("{self:?}");
        if text.len() > DESCRIPTION {
            let mut end = DESCRIPTION;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let whole = text.len();
            text.truncate(end);
            text.push_str(&format!("… ({whole} bytes)"));
        }
        text
    }
}

/// Metadata sent with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    #[default]
    None,
    HasLeader,
    ApiVersion,
    /// `client-api-version` with bytes that are no UTF-8.
    BadApiVersion,
}

/// A request, the member it goes to, and the metadata it carries.
#[derive(Clone, Debug)]
pub struct Op {
    pub member: usize,
    pub metadata: Metadata,
    pub request: Request,
}

impl Op {
    pub fn new(request: Request) -> Self {
        Self {
            member: 0,
            metadata: Metadata::None,
            request,
        }
    }

    pub fn on(member: usize, request: Request) -> Self {
        Self {
            member,
            metadata: Metadata::None,
            request,
        }
    }

    pub fn describe(&self) -> String {
        format!(
            "member {} {:?} {}",
            self.member,
            self.metadata,
            self.request.describe()
        )
    }
}
