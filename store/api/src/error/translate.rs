//! What each failure of the other rooms becomes for a client.

use mainstay_apply::ApplyError;
use mainstay_raft::{ChangeError, LeaseError, ProposeError, ReadError, Refusal, TransferError};

use super::Error;

impl From<mainstay_mvcc::Error> for Error {
    fn from(error: mainstay_mvcc::Error) -> Error {
        match error {
            mainstay_mvcc::Error::Compacted => Error::Compacted,
            mainstay_mvcc::Error::FutureRevision => Error::FutureRevision,
            mainstay_mvcc::Error::KeyNotFound => Error::KeyNotFound,
            other => {
                tracing::error!(error = %other, "the store failed under a read");
                Error::Storage
            }
        }
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Error {
        match error {
            ApplyError::KeyNotFound => Error::KeyNotFound,
            ApplyError::LeaseNotFound => Error::LeaseNotFound,
            ApplyError::LeaseExists => Error::LeaseExists,
            ApplyError::TtlTooLarge => Error::LeaseTtlTooLarge,
            ApplyError::NoSpace => Error::NoSpace,
            ApplyError::Corrupt => Error::Corrupt,
            ApplyError::Compacted => Error::Compacted,
            ApplyError::FutureRevision => Error::FutureRevision,
            ApplyError::UnknownAlarmAction => Error::UnknownAlarmAction,
            ApplyError::TooManyAlarms => Error::TooManyAlarms,
            ApplyError::TooDeep => Error::TooManyOps,
            ApplyError::Auth(error) => error.into(),
            ApplyError::Store(what) => {
                tracing::error!(what, "the store failed under a read");
                Error::Storage
            }
        }
    }
}

impl From<mainstay_auth::Error> for Error {
    fn from(error: mainstay_auth::Error) -> Error {
        use mainstay_auth::Error as Auth;
        match error {
            Auth::UserEmpty => Error::UserEmpty,
            Auth::RoleEmpty => Error::RoleEmpty,
            Auth::UserExists => Error::UserAlreadyExist,
            Auth::UserNotFound => Error::UserNotFound,
            Auth::RoleExists => Error::RoleAlreadyExist,
            Auth::RoleNotFound => Error::RoleNotFound,
            Auth::RoleNotGranted => Error::RoleNotGranted,
            Auth::PermissionNotGiven => Error::PermissionNotGiven,
            Auth::PermissionNotGranted => Error::PermissionNotGranted,
            Auth::InvalidManagement => Error::InvalidAuthMgmt,
            Auth::RootUserMissing => Error::RootUserNotExist,
            Auth::RootRoleMissing => Error::RootRoleNotExist,
            Auth::NotEnabled => Error::AuthNotEnabled,
            Auth::Failed => Error::AuthFailed,
            Auth::OldRevision => Error::AuthOldRevision,
            Auth::Denied => Error::PermissionDenied,
        }
    }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Error {
        match error {
            ProposeError::Apply(error) => error.into(),
            // The request waited for a leader until its own time was up (etcd: the context of the
            // request, hence no prefix).
            ProposeError::NoLeader => Error::DeadlineExceeded,
            ProposeError::Timeout => Error::Timeout,
            ProposeError::TimeoutLeaderFail => Error::TimeoutLeaderFail,
            ProposeError::TooManyRequests => Error::TooManyRequests,
            ProposeError::TooLarge => Error::RequestTooLarge,
            ProposeError::Stopped => Error::Stopped,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Error {
        match error {
            ReadError::Timeout => Error::Timeout,
            ReadError::TooManyRequests => Error::TooManyRequests,
            ReadError::Stopped => Error::Stopped,
        }
    }
}

impl From<LeaseError> for Error {
    fn from(error: LeaseError) -> Error {
        match error {
            LeaseError::NoLeader => Error::NoLeader,
        }
    }
}

impl From<TransferError> for Error {
    fn from(error: TransferError) -> Error {
        match error {
            TransferError::NotLeader => Error::NotLeader,
            TransferError::BadTarget => Error::BadLeaderTransferee,
            TransferError::Timeout => Error::TimeoutLeaderTransfer,
        }
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Error {
        match error {
            ChangeError::Timeout => Error::Timeout,
            ChangeError::Refused(refusal) => match refusal {
                // Who was removed is not found (etcd).
                Refusal::NotFound | Refusal::IdRemoved => Error::MemberNotFound,
                Refusal::IdExists => Error::MemberExists,
                Refusal::UrlExists => Error::PeerUrlExists,
                Refusal::NotLearner => Error::MemberNotLearner,
                Refusal::NotReady => Error::LearnerNotReady,
                Refusal::TooManyLearners => Error::TooManyLearners,
                Refusal::NotEnoughStarted => Error::NotEnoughStarted,
                Refusal::Unhealthy => Error::Unhealthy,
            },
        }
    }
}
