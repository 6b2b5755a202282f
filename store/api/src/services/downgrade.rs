//! Downgrade: the cluster is told to go one minor version down.
//!
//! A job lowers the cluster version, and the version that backups name with it, so that the etcd of
//! that version takes them; members need no other preparation. The job stands until it is called
//! off, since every member here is of one version.

use std::sync::Arc;

use mainstay_proto::entry::{self, command::Body};
use mainstay_proto::etcdserverpb::{
    DowngradeInfo, DowngradeRequest, DowngradeResponse, downgrade_request::DowngradeAction,
};
use prost::Message;
use semver::Version;
use tonic::Status;

use crate::context::Context;
use crate::error::Error;
use crate::metadata::Caller;

/// Validates, begins or ends a job. The answer names the cluster's version of now, without the
/// patch.
pub async fn downgrade(
    context: Arc<Context>,
    caller: Caller,
    request: DowngradeRequest,
) -> Result<DowngradeResponse, Status> {
    let encoded = request.encoded_len();
    match DowngradeAction::try_from(request.action) {
        Ok(DowngradeAction::Validate) => {
            target(&context, &request).await?;
        }
        Ok(DowngradeAction::Enable) => {
            let target_version = target(&context, &request).await?.to_string();
            propose(&context, &caller, target_version, encoded).await?;
        }
        Ok(DowngradeAction::Cancel) => {
            context.read_barrier().await?;
            match context.view.downgrade_target() {
                Some(_) => propose(&context, &caller, String::new(), encoded).await?,
                // It succeeds all the same (etcd).
                None => tracing::warn!("there is no downgrade job to cancel"),
            }
        }
        Err(_) => return Err(Error::UnknownMethod.into()),
    }
    let now = cluster_version(&context)?;
    Ok(DowngradeResponse {
        header: Some(context.header()),
        version: format!("{}.{}", now.major, now.minor),
    })
}

/// The job that is under way.
pub fn info(context: &Context) -> DowngradeInfo {
    let target = context.view.downgrade_target();
    DowngradeInfo {
        enabled: target.is_some(),
        target_version: target.unwrap_or_default(),
    }
}

/// The version asked for, if the cluster may go down to it now.
async fn target(context: &Context, request: &DowngradeRequest) -> Result<Version, Status> {
    let target = parse(&request.version)?;
    context.read_barrier().await?;
    allowed(&cluster_version(context)?, &target)?;
    match context.view.downgrade_target() {
        Some(_) => Err(Error::DowngradeInProcess.into()),
        None => Ok(target),
    }
}

/// `3.6` and `3.6.4` both mean 3.6.0.
fn parse(given: &str) -> Result<Version, Error> {
    Version::parse(given)
        .or_else(|_| Version::parse(&format!("{given}.0")))
        .map(|version| Version::new(version.major, version.minor, 0))
        .map_err(|_| Error::WrongDowngradeFormat)
}

/// Only one minor version down.
fn allowed(now: &Version, target: &Version) -> Result<(), Error> {
    let below = now.minor.checked_sub(1);
    match below.map(|minor| Version::new(now.major, minor, 0)) {
        Some(below) if below == *target => Ok(()),
        _ => Err(Error::InvalidDowngradeTarget),
    }
}

fn cluster_version(context: &Context) -> Result<Version, Error> {
    let version = context.view.cluster_version();
    let parsed = version.and_then(|version| Version::parse(&version).ok());
    parsed.ok_or(Error::ClusterVersionUnavailable)
}

async fn propose(
    context: &Context,
    caller: &Caller,
    target_version: String,
    encoded: usize,
) -> Result<(), Status> {
    let job = entry::Downgrade { target_version };
    context
        .propose(caller, Body::Downgrade(job), encoded)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_in_etcd() {
        let six = Version::new(3, 6, 0);
        for good in ["3.6", "3.6.0", "3.6.9", "3.6.1-rc.2"] {
            assert_eq!(parse(good), Ok(six.clone()), "{good}");
        }
        for wrong in ["", "v3.6", "3", "3.x", "3.6.0.0", "3*.9"] {
            assert_eq!(parse(wrong), Err(Error::WrongDowngradeFormat), "{wrong}");
        }
    }

    #[test]
    fn one_minor_down_and_no_other() {
        let now = Version::new(3, 7, 0);
        assert_eq!(allowed(&now, &Version::new(3, 6, 0)), Ok(()));
        for (major, minor) in [(3, 7), (3, 5), (3, 8), (2, 6), (4, 6)] {
            let refused = allowed(&now, &Version::new(major, minor, 0));
            assert_eq!(refused, Err(Error::InvalidDowngradeTarget));
        }
        let first = Version::new(3, 0, 0);
        assert!(allowed(&first, &first).is_err());
    }
}
