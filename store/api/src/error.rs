//! Every error a client can see: its gRPC code and etcd's exact text.
//!
//! Clients match on the text, so a text is a contract. The table below is the only place in the
//! product where these texts and codes stand; the other rooms have error types of their own and
//! `error/translate.rs` says which of these each becomes.

mod translate;

use tonic::{Code, Status};

macro_rules! errors {
    ($($name:ident => $code:ident, $text:literal;)*) => {
        /// An error of etcd's API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Error {
            $(#[doc = $text] $name,)*
        }

        impl Error {
            /// All of them, for tests that look at each.
            pub const ALL: &[Error] = &[$(Error::$name,)*];

            /// The gRPC code.
            pub fn code(self) -> Code {
                match self { $(Error::$name => Code::$code,)* }
            }

            /// The whole text as it leaves the server.
            pub fn text(self) -> &'static str {
                match self { $(Error::$name => $text,)* }
            }
        }
    };
}

errors! {
    EmptyKey => InvalidArgument, "etcdserver: key is not provided";
    KeyNotFound => InvalidArgument, "etcdserver: key not found";
    ValueProvided => InvalidArgument, "etcdserver: value is provided";
    LeaseProvided => InvalidArgument, "etcdserver: lease is provided";
    TooManyOps => InvalidArgument, "etcdserver: too many operations in txn request";
    DuplicateKey => InvalidArgument, "etcdserver: duplicate key given in txn request";
    InvalidClientApiVersion => InvalidArgument, "etcdserver: invalid client api version";
    InvalidSortOption => InvalidArgument, "etcdserver: invalid sort option";
    MemberBadUrls => InvalidArgument, "etcdserver: given member URLs are invalid";
    RequestTooLarge => InvalidArgument, "etcdserver: request is too large";
    WrongDowngradeFormat => InvalidArgument,
        "etcdserver: wrong downgrade target version format";
    InvalidDowngradeTarget => InvalidArgument, "etcdserver: invalid downgrade target version";
    UserEmpty => InvalidArgument, "etcdserver: user name is empty";
    RoleEmpty => InvalidArgument, "etcdserver: role name is empty";
    PermissionNotGiven => InvalidArgument, "etcdserver: permission not given";
    InvalidAuthMgmt => InvalidArgument, "etcdserver: invalid auth management";
    AuthOldRevision => InvalidArgument, "etcdserver: revision of auth store is old";
    AuthFailed => InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password";
    Compacted => OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    FutureRevision => OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    LeaseTtlTooLarge => OutOfRange, "etcdserver: too large lease TTL";
    NoSpace => ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    TooManyRequests => ResourceExhausted, "etcdserver: too many requests";
    LeaseNotFound => NotFound, "etcdserver: requested lease not found";
    MemberNotFound => NotFound, "etcdserver: member not found";
    MemberExists => FailedPrecondition, "etcdserver: member ID already exist";
    PeerUrlExists => FailedPrecondition, "etcdserver: Peer URLs already exists";
    MemberNotLearner => FailedPrecondition, "etcdserver: can only promote a learner member";
    LearnerNotReady => FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader";
    TooManyLearners => FailedPrecondition, "etcdserver: too many learner members in cluster";
    // Its text stands for FailedPrecondition, but this is what it leaves etcd with.
    NotEnoughStarted => Unknown,
        "etcdserver: re-configuration failed due to not enough started members";
    LeaseExists => FailedPrecondition, "etcdserver: lease already exists";
    RootUserNotExist => FailedPrecondition, "etcdserver: root user does not exist";
    RootRoleNotExist => FailedPrecondition, "etcdserver: root user does not have root role";
    UserAlreadyExist => FailedPrecondition, "etcdserver: user name already exists";
    UserNotFound => FailedPrecondition, "etcdserver: user name not found";
    RoleAlreadyExist => FailedPrecondition, "etcdserver: role name already exists";
    RoleNotFound => FailedPrecondition, "etcdserver: role name not found";
    RoleNotGranted => FailedPrecondition, "etcdserver: role is not granted to the user";
    PermissionNotGranted => FailedPrecondition,
        "etcdserver: permission is not granted to the role";
    AuthNotEnabled => FailedPrecondition, "etcdserver: authentication is not enabled";
    NotLeader => FailedPrecondition, "etcdserver: not leader";
    NotSupportedForLearner => FailedPrecondition, "etcdserver: rpc not supported for learner";
    BadLeaderTransferee => FailedPrecondition, "etcdserver: bad leader transferee";
    ClusterVersionUnavailable => FailedPrecondition,
        "etcdserver: cluster version not found during downgrade";
    DowngradeInProcess => FailedPrecondition,
        "etcdserver: cluster has a downgrade job in progress";
    PermissionDenied => PermissionDenied, "etcdserver: permission denied";
    InvalidAuthToken => Unauthenticated, "etcdserver: invalid auth token";
    NoLeader => Unavailable, "etcdserver: no leader";
    LeaderChanged => Unavailable, "etcdserver: leader changed";
    Stopped => Unavailable, "etcdserver: server stopped";
    Timeout => Unavailable, "etcdserver: request timed out";
    TimeoutLeaderFail => Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure";
    TimeoutConnectionLost => Unavailable,
        "etcdserver: request timed out, possibly due to connection lost";
    TimeoutWaitApplied => Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long";
    Unhealthy => Unavailable, "etcdserver: unhealthy cluster";
    Corrupt => DataLoss, "etcdserver: corrupt cluster";
    WatchCanceled => Cancelled, "etcdserver: watch canceled";
    // A context error of the server leaves it without the prefix.
    DeadlineExceeded => DeadlineExceeded, "context deadline exceeded";
    ContextCanceled => Cancelled, "context canceled";
    TimeoutLeaderTransfer => Unknown,
        "etcdserver: request timed out, leader transfer took too long";
    UnknownMethod => Unknown, "etcdserver: unknown method";
    SessionExpired => Unknown, "mutex: session is expired";
    LeaderNotGiven => Unknown, "\"leader\" field must be provided";
    ElectionNotLeader => Unknown, "election: not leader";
    ElectionNoLeader => Unknown, "election: no leader";
    StreamSort => Unimplemented, "RangeStream does not support custom sort orders";
    StreamFilter => Unimplemented, "RangeStream does not support revision filters";
    // Errors of authentication that etcd has no code for leave it as they are.
    NoPasswordUser => Unknown,
        "auth: authentication failed, password was given for no password user";
    VerifyOnly => Unknown, "auth: token signing attempted with verify-only key";
    PasswordAboveBcrypt => Unknown, "bcrypt: password length exceeds 72 bytes";
    // Not etcd's, which knows no other hash than bcrypt.
    PasswordTooLong => InvalidArgument, "mainstay: password is longer than 512 bytes";
    // Not etcd's: it dies of such a request. Named in the table of deviations.
    UnknownAlarmAction => InvalidArgument, "etcdserver: unknown alarm action";
    // Not etcd's, which keeps any number of them.
    TooManyAlarms => ResourceExhausted, "mainstay: too many alarms";
    // Not etcd's, which streams its file where it lies.
    NoRoomForBackup => ResourceExhausted, "mainstay: the disk has no room for a backup";
    // Not etcd's: a local failure of the store, logged where it is found.
    Storage => Internal, "mainstay: the store failed, see the log of this member";
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        Status::new(error.code(), error.text())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Error {}

/// Names Go's gRPC gives the seventeen codes, in the order of their numbers: the values of the
/// `grpc_code` label.
pub const CODE_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract of reference texts, kept apart from the table so that a slip of the pen in
    /// either is seen.
    const CONTRACT: &[(i32, &str)] = &[
        (3, "key is not provided"),
        (3, "key not found"),
        (3, "value is provided"),
        (3, "lease is provided"),
        (3, "too many operations in txn request"),
        (3, "duplicate key given in txn request"),
        (3, "invalid client api version"),
        (3, "invalid sort option"),
        (3, "given member URLs are invalid"),
        (3, "request is too large"),
        (3, "user name is empty"),
        (3, "role name is empty"),
        (3, "authentication failed, invalid user ID or password"),
        (3, "permission not given"),
        (3, "invalid auth management"),
        (3, "revision of auth store is old"),
        (3, "wrong downgrade target version format"),
        (3, "invalid downgrade target version"),
        (11, "mvcc: required revision has been compacted"),
        (11, "mvcc: required revision is a future revision"),
        (11, "too large lease TTL"),
        (8, "mvcc: database space exceeded"),
        (8, "too many requests"),
        (5, "requested lease not found"),
        (5, "member not found"),
        (9, "lease already exists"),
        (9, "member ID already exist"),
        (9, "Peer URLs already exists"),
        (
            // A gap in etcd's mapping, as it leaves the server.
            2,
            "re-configuration failed due to not enough started members",
        ),
        (9, "can only promote a learner member"),
        (
            9,
            "can only promote a learner member which is in sync with leader",
        ),
        (9, "too many learner members in cluster"),
        (9, "root user does not exist"),
        (9, "root user does not have root role"),
        (9, "user name already exists"),
        (9, "user name not found"),
        (9, "role name already exists"),
        (9, "role name not found"),
        (9, "role is not granted to the user"),
        (9, "permission is not granted to the role"),
        (9, "authentication is not enabled"),
        (9, "not leader"),
        (9, "rpc not supported for learner"),
        (9, "bad leader transferee"),
        (9, "cluster version not found during downgrade"),
        (9, "cluster has a downgrade job in progress"),
        (7, "permission denied"),
        (16, "invalid auth token"),
        (14, "no leader"),
        (14, "leader changed"),
        (14, "server stopped"),
        (14, "request timed out"),
        (
            14,
            "request timed out, possibly due to previous leader failure",
        ),
        (14, "request timed out, possibly due to connection lost"),
        (
            14,
            "request timed out, waiting for the applied index took too long",
        ),
        (14, "unhealthy cluster"),
        (15, "corrupt cluster"),
        (1, "watch canceled"),
        (2, "request timed out, leader transfer took too long"),
        (2, "unknown method"),
    ];

    #[test]
    fn texts_and_codes_are_etcds() {
        for (code, text) in CONTRACT {
            let whole = format!("etcdserver: {text}");
            let error = Error::ALL.iter().find(|error| error.text() == whole);
            let error = error.unwrap_or_else(|| panic!("{whole} is missing"));
            assert_eq!(error.code() as i32, *code, "{whole}");
        }
    }

    #[test]
    fn context_errors_carry_no_prefix() {
        assert_eq!(Error::DeadlineExceeded.text(), "context deadline exceeded");
        assert_eq!(Error::DeadlineExceeded.code() as i32, 4);
    }

    #[test]
    fn no_text_stands_twice() {
        for (at, error) in Error::ALL.iter().enumerate() {
            assert!(
                Error::ALL[..at]
                    .iter()
                    .all(|other| other.text() != error.text()),
                "{error}"
            );
        }
    }
}
