//! The resource itself: its finalizer, and nothing else of it.

use mainstay_operator_api::{FINALIZER, MainstayCluster};

use super::Actor;
use crate::error::Error;
use crate::finalizer;

impl Actor<'_> {
    pub(super) async fn finalizer(&self, wanted: bool) -> Result<(), Error> {
        let api = self.api::<MainstayCluster>();
        match finalizer::set(&api, self.cluster, FINALIZER, wanted).await {
            Err(kube::Error::Api(status)) if !wanted && status.code == 404 => Ok(()),
            other => other.map_err(Error::api("finalizer")),
        }
    }
}
