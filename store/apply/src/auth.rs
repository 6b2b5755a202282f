//! Commands about users, roles and who logs in.

use mainstay_auth::{Applying, Error};
use mainstay_mvcc::Batch;
use mainstay_proto::entry::Authenticate;

use crate::{Outcome, context::Context, error::Failure};

pub(crate) fn authenticate(
    context: &mut Context<'_, '_, '_>,
    request: &Authenticate,
) -> Result<Outcome, Failure> {
    context.auth.authenticate(request)?;
    Ok(Outcome::Authenticated {
        index: context.index,
        revision: context.batch.revision(),
    })
}

/// Makes a change to users, roles or whether they count.
pub(crate) fn change<'w, 'l>(
    context: &mut Context<'_, 'w, 'l>,
    make: impl FnOnce(&mut Applying<'l>, &mut Batch<'w>) -> Result<(), Error>,
) -> Result<Outcome, Failure> {
    make(context.auth, context.batch)?;
    Ok(Outcome::Auth {
        revision: context.batch.revision(),
    })
}
