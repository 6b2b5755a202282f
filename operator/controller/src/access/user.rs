//! One pass over one user.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use mainstay_client::access::{Access, AuthStatus, Refusal};
use mainstay_operator_api::MainstayUser;
use mainstay_operator_api::access::MainstayUserStatus;
use mainstay_operator_api::storage::Retention;

use super::claim::{Claim, LOOK, Room, Verdict, WAIT, Ward};
use super::decide::{self, Login, Opened, UserFound, UserStep};
use super::password::{self, Password};
use super::{Error, certificate, reason};
use crate::metrics::Object;
use crate::sessions::Session;

/// In the status, of a user that no password opens.
const WITHOUT: &str = "none";

impl Claim for MainstayUser {
    const KIND: &'static str = "MainstayUser";
    type Status = MainstayUserStatus;

    fn cluster(&self) -> &str {
        &self.spec.cluster
    }

    fn claimed(&self) -> &str {
        self.user_name()
    }

    fn retention(&self) -> Retention {
        self.spec.when_deleted
    }

    fn status(&self) -> Option<&MainstayUserStatus> {
        self.status.as_ref()
    }

    fn conditions(status: &MainstayUserStatus) -> &[Condition] {
        &status.conditions
    }

    fn stamp(&self, status: &mut MainstayUserStatus, condition: Condition) {
        status.observed_generation = self.metadata.generation;
        status.name = Some(self.user_name().to_owned());
        status.conditions = vec![condition];
    }

    fn count(status: &mut MainstayUserStatus) {
        status.drifts = status.drifts.saturating_add(1);
    }

    async fn remove(&self, access: &Access) -> Result<(), Error> {
        match access.delete_user(self.user_name()).await {
            Err(error) if error.refusal() == Some(Refusal::UserMissing) => Ok(()),
            other => Ok(other?),
        }
    }
}

pub async fn pass(room: &Room<MainstayUser>, named: &Object) -> Result<Option<Duration>, Error> {
    let api = room.context.api::<MainstayUser>(Some(&named.namespace));
    let found = api.get_opt(&named.name).await;
    let Some(user) = found.map_err(Error::api("the user cannot be read"))? else {
        room.seen.lock().remove(named);
        room.show(named, None);
        return Ok(None);
    };
    let ward = Ward {
        room,
        named,
        object: &user,
    };
    if user.metadata.deletion_timestamp.is_some() {
        return ward.depart().await;
    }
    let status = user.status.clone().unwrap_or_default();
    if let Some(rival) = ward.rival() {
        let verdict = Verdict::new(
            reason::CONFLICT,
            format!(
                "MainstayUser {rival} is older and has the user {} already",
                user.user_name()
            ),
        );
        ward.tell(status, &verdict).await?;
        return Ok(Some(WAIT));
    }
    ward.finalizer(true).await?;
    let session = match ward.session().await {
        Ok(session) => session,
        Err(unready) => {
            ward.tell(status, &unready.into()).await?;
            return Ok(Some(WAIT));
        }
    };
    let mut pass = Pass {
        ward,
        access: session.client.access(),
        status,
        problems: Vec::new(),
    };
    let outcome = pass.run(&session).await;
    let verdict = match &outcome {
        Ok(()) => summary(pass.problems),
        Err(error) => error.verdict(),
    };
    let wait = match verdict.is_good() {
        true => LOOK,
        false => WAIT,
    };
    pass.ward.tell(pass.status, &verdict).await?;
    outcome.map(|()| Some(wait))
}

/// The first problem gives the reason.
fn summary(problems: Vec<Verdict>) -> Verdict {
    let mut problems = problems.into_iter();
    let Some(mut first) = problems.next() else {
        return Verdict::new(reason::AS_ASKED, "the user is as asked for");
    };
    for further in problems {
        first.message.push_str("; ");
        first.message.push_str(&further.message);
    }
    first
}

struct Pass<'a> {
    ward: Ward<'a, MainstayUser>,
    access: Access,
    status: MainstayUserStatus,
    problems: Vec<Verdict>,
}

impl Pass<'_> {
    async fn run(&mut self, session: &Session) -> Result<(), Error> {
        let user = self.ward.object;
        let password = match &user.spec.password {
            None => None,
            Some(spec) => match password::look(&self.ward, &session.cluster, spec).await? {
                Ok(password) => Some(password),
                Err(problem) => {
                    self.problems.push(problem);
                    None
                }
            },
        };
        match self.in_store(session, password.as_ref()).await {
            Err(Error::Store(error)) if error.refusal() == Some(Refusal::PasswordTooLong) => {
                self.problems.push(Error::Store(error).verdict());
            }
            other => other?,
        }
        match &user.spec.certificate {
            None => self.status.certificate_until = None,
            Some(spec) => match certificate::look(&self.ward, &session.cluster, spec).await? {
                Ok(until) => self.status.certificate_until = Some(until),
                Err(problem) => self.problems.push(problem),
            },
        }
        Ok(())
    }

    /// Brings the user in the store to what is asked for.
    async fn in_store(
        &mut self,
        session: &Session,
        password: Option<&Password>,
    ) -> Result<(), Error> {
        let user = self.ward.object;
        let login = match (&user.spec.password, password) {
            (None, _) => Login::Nothing,
            (Some(_), Some(_)) => Login::Password,
            (Some(_), None) => Login::Later,
        };
        let version = match login {
            Login::Nothing => Some(WITHOUT.to_owned()),
            _ => password.map(|password| password.version.clone()),
        };
        // Another password in the Secret is nobody's change but the owner's.
        let unasked = self.ward.was_good() && self.status.password_version == version;
        let auth = session.users;
        if unasked && auth.enabled && self.ward.is_seen(session) {
            return Ok(());
        }
        let found = self.find(session, login, password).await?;
        let roles: BTreeSet<String> = user.spec.roles.iter().cloned().collect();
        let mut steps = decide::user(login, &roles, found.as_ref());
        self.carry_out(&steps, password).await?;
        if steps.contains(&UserStep::SetPassword) && !self.opens(auth, password).await? {
            // One that was made without a password takes none, and says nothing.
            let found = found.map(|found| UserFound {
                opened: Opened::ByOtherKind,
                ..found
            });
            steps = decide::user(login, &roles, found.as_ref());
            self.carry_out(&steps, password).await?;
        }
        if login != Login::Later {
            self.status.password_version = version;
        }
        let changed: Vec<&UserStep> = steps.iter().filter(|step| self.is_done(step)).collect();
        if changed.is_empty() {
            self.ward.see(session);
        } else if unasked {
            let what = told(&changed);
            self.ward.drifted(&mut self.status, &what).await;
        }
        if !auth.enabled {
            let message = format!(
                "MainstayCluster {} asks nobody who they are: set its spec.auth",
                user.spec.cluster
            );
            self.problems
                .push(Verdict::new(reason::AUTH_DISABLED, message));
        }
        Ok(())
    }

    async fn find(
        &self,
        session: &Session,
        login: Login,
        password: Option<&Password>,
    ) -> Result<Option<UserFound>, Error> {
        let auth = session.users;
        let name = self.ward.object.user_name();
        let Some(roles) = self.access.user(name).await? else {
            return Ok(None);
        };
        let known = self.status.password_version.as_deref();
        let opened = match (login, password) {
            (Login::Nothing, _) if known == Some(WITHOUT) => Opened::AsAsked,
            // What is there was made by somebody else, or had a password.
            (Login::Nothing, _) => Opened::ByOtherKind,
            (_, None) => Opened::AsAsked,
            (_, Some(_)) if known == Some(WITHOUT) => Opened::ByOtherKind,
            (_, Some(now)) => {
                let is_set = known == Some(now.version.as_str());
                let unchanged = self.ward.is_seen(session);
                match is_set && (unchanged || !auth.enabled) {
                    true => Opened::AsAsked,
                    // A log-in is dear on purpose: only after something about users has changed.
                    false if auth.enabled && self.opens(auth, password).await? => Opened::AsAsked,
                    false => Opened::Otherwise,
                }
            }
        };
        Ok(Some(UserFound {
            roles: roles.into_iter().collect(),
            opened,
        }))
    }

    /// Whether the password opens the user. While nobody is asked for one that cannot be tried.
    async fn opens(&self, auth: AuthStatus, password: Option<&Password>) -> Result<bool, Error> {
        match password {
            Some(password) if auth.enabled => {
                let name = self.ward.object.user_name();
                Ok(self.access.is_password(name, &password.text).await?)
            }
            _ => Ok(true),
        }
    }

    async fn carry_out(
        &mut self,
        steps: &[UserStep],
        password: Option<&Password>,
    ) -> Result<(), Error> {
        let (access, name) = (&self.access, self.ward.object.user_name());
        let text = password.map_or("", |password| &password.text);
        for step in steps {
            match step {
                UserStep::Delete => access.delete_user(name).await?,
                UserStep::Add => access.add_user(name, text).await?,
                UserStep::AddWithoutPassword => access.add_user_without_password(name).await?,
                UserStep::SetPassword => access.change_password(name, text).await?,
                UserStep::Revoke(role) => access.revoke_role(name, role).await?,
                UserStep::Grant(role) => match access.grant_role(name, role).await {
                    Err(error) if error.refusal() == Some(Refusal::RoleMissing) => {
                        self.problems.push(missing(role));
                    }
                    other => other?,
                },
            }
        }
        Ok(())
    }

    /// Grants of roles that are not there were not carried out.
    fn is_done(&self, step: &UserStep) -> bool {
        let UserStep::Grant(role) = step else {
            return true;
        };
        let missing = missing(role).message;
        self.problems.iter().all(|known| known.message != missing)
    }
}

fn missing(role: &str) -> Verdict {
    let message = format!("there is no role {role}: make a MainstayRole, or take it out of roles");
    Verdict::new(reason::ROLE_MISSING, message)
}

fn told(steps: &[&UserStep]) -> String {
    let steps = steps.iter().map(|step| match step {
        UserStep::Delete => "it was deleted".to_owned(),
        UserStep::Add | UserStep::AddWithoutPassword => "it was made again".to_owned(),
        UserStep::SetPassword => "its password was set again".to_owned(),
        UserStep::Grant(role) => format!("the role {role} was granted again"),
        UserStep::Revoke(role) => format!("the role {role} was revoked"),
    });
    steps.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_gives_the_reason_and_all_are_told() {
        assert!(summary(Vec::new()).is_good());
        let both = summary(vec![missing("a"), missing("b")]);
        assert_eq!(both.reason, reason::ROLE_MISSING);
        assert!(
            both.message.contains("no role a") && both.message.contains("; there is no role b")
        );
    }
}
