//! The controllers of `MainstayUser` and `MainstayRole`: users and roles in the store of a cluster,
//! kept as they are declared.
//!
//! A pass looks at what is there, `decide.rs` says what is to be done about it, and every thirty
//! seconds another pass sees whether somebody has changed it by other means. Read `claim.rs` for what
//! both have in common, then `user.rs`.

mod certificate;
mod claim;
mod decide;
mod password;
mod reason;
mod role;
mod secrets;
mod user;

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::Store;
use kube::runtime::{Controller, watcher};
use mainstay_client::access::Refusal;
use mainstay_operator_act::tls;
use mainstay_operator_api::{MainstayRole, MainstayUser};
use mainstay_operator_plan::observed::Plane;
use parking_lot::Mutex;

use crate::context::Context;
use crate::metrics::Object;
use crate::passes::{begin, end, failed, referring};
use claim::{Claim, Room, Verdict};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Api {
        what: &'static str,
        source: Box<kube::Error>,
    },
    #[error(transparent)]
    Store(#[from] mainstay_client::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

impl Error {
    fn api(what: &'static str) -> impl FnOnce(kube::Error) -> Error {
        move |source| Error::Api {
            what,
            source: Box::new(source),
        }
    }

    /// How the resource tells of it.
    fn verdict(&self) -> Verdict {
        let reason = match self {
            Error::Store(error) if error.refusal() == Some(Refusal::PasswordTooLong) => {
                reason::PASSWORD_TOO_LONG
            }
            Error::Store(mainstay_client::Error::Refused { .. }) => reason::REFUSED,
            Error::Tls(_) => reason::SECRET_INVALID,
            _ => reason::UNREACHABLE,
        };
        Verdict::new(reason, self.to_string())
    }
}

/// Runs both until `stop` resolves.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    concurrency: u16,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let scope = namespace.as_deref();
    let settings = || Config::default().concurrency(concurrency);
    let all = watcher::Config::default;
    let api = context.api::<DeserializeGuard<MainstayRole>>(scope);
    let roles = Controller::new(api, all())
        .with_config(settings())
        .graceful_shutdown_on(stop.clone());
    let room = room(&context, roles.store());
    let shown = room.clone();
    let roles = roles
        .run(
            role,
            |object, error, room| fail(&object, error, &room),
            room,
        )
        .for_each(move |ended| {
            forget(&shown, &ended);
            async {}
        });

    let api = context.api::<DeserializeGuard<MainstayUser>>(scope);
    let users = Controller::new(api, all()).with_config(settings());
    let (by_secret, by_role) = (users.store(), users.store());
    let room = self::room(&context, users.store());
    let shown = room.clone();
    let users = users
        // Of all Secrets, without what they hold: which of them matter stands in the users.
        .watches(
            context.api::<PartialObjectMeta<Secret>>(scope),
            all(),
            move |secret: PartialObjectMeta<Secret>| referring(&by_secret, &secret, needs),
        )
        .watches(
            context.api::<DeserializeGuard<MainstayRole>>(scope),
            all(),
            move |role: DeserializeGuard<MainstayRole>| {
                let role_name = role
                    .0
                    .as_ref()
                    .ok()
                    .map(|role| (role.spec.cluster.clone(), role.role_name().to_owned()));
                referring(&by_role, &role, |user, _| {
                    role_name.as_ref().is_some_and(|(cluster, name)| {
                        user.spec.cluster == *cluster && user.spec.roles.contains(name)
                    })
                })
            },
        )
        .graceful_shutdown_on(stop)
        .run(
            user,
            |object, error, room| fail(&object, error, &room),
            room,
        )
        .for_each(move |ended| {
            forget(&shown, &ended);
            async {}
        });
    tokio::join!(roles, users);
}

/// One that went while nothing held it gets no pass, and its row in the metrics would stay.
fn forget<K: Claim, T, E>(room: &Room<K>, ended: &Result<T, ControllerError<Error, E>>)
where
    E: std::error::Error + 'static,
{
    if let Err(ControllerError::ObjectNotFound(gone)) = ended {
        let named = Object {
            namespace: gone.namespace.clone().unwrap_or_default(),
            name: gone.name.clone(),
        };
        room.show(&named, None);
    }
}

fn room<K: Claim>(context: &Arc<Context>, all: Store<DeserializeGuard<K>>) -> Arc<Room<K>> {
    Arc::new(Room {
        context: context.clone(),
        all,
        seen: Mutex::default(),
        shown: Mutex::default(),
    })
}

/// Its password, its certificate, or the authority that signs the latter.
fn needs(user: &MainstayUser, secret: &str) -> bool {
    let spec = &user.spec;
    let password = spec.password.as_ref();
    let certificate = spec.certificate.as_ref();
    password.is_some_and(|password| password.secret_name == secret)
        || certificate.is_some_and(|certificate| {
            certificate.secret_name == secret
                || tls::ca_secret(&spec.cluster, Plane::Client) == secret
        })
}

async fn role(
    object: Arc<DeserializeGuard<MainstayRole>>,
    room: Arc<Room<MainstayRole>>,
) -> Result<Action, Error> {
    let Some(named) = begin(&object, &room.context) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let outcome = role::pass(&room, &named).await;
    end(&room.context, MainstayRole::KIND, named, started, outcome)
}

async fn user(
    object: Arc<DeserializeGuard<MainstayUser>>,
    room: Arc<Room<MainstayUser>>,
) -> Result<Action, Error> {
    let Some(named) = begin(&object, &room.context) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    let outcome = user::pass(&room, &named).await;
    end(&room.context, MainstayUser::KIND, named, started, outcome)
}

fn fail<K: Claim>(object: &DeserializeGuard<K>, error: &Error, room: &Room<K>) -> Action {
    failed(K::KIND, object, error, &room.context)
}
