//! Compact: forgets what was before a revision. The physical work happens in the store's own time.

use mainstay_proto::etcdserverpb::CompactionRequest;

use crate::{Outcome, context::Context, error::Failure};

pub(crate) fn apply(
    context: &mut Context<'_, '_, '_>,
    request: &CompactionRequest,
) -> Result<Outcome, Failure> {
    context.batch.compact(request.revision)?;
    Ok(Outcome::Compact {
        revision: context.batch.revision(),
    })
}
