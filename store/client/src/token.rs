//! The token that a user's calls carry: fetched when it is needed first, and again when a member no
//! longer takes it.

use mainstay_proto::etcdserverpb::AuthenticateRequest;
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use tokio::sync::Mutex;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Said where users are not asked for: then none is shown.
const NOT_ENABLED: &str = "authentication is not enabled";

/// A user's name and password.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// A token and the number of the log-in that brought it, so that of many calls that find it stale
/// one logs in.
#[derive(Clone, Default)]
pub(crate) struct Token {
    pub(crate) value: Option<MetadataValue<Ascii>>,
    login: u64,
    stale: bool,
}

pub(crate) struct Tokens {
    user: Option<User>,
    held: Mutex<Option<Token>>,
}

impl Tokens {
    pub(crate) fn new(user: Option<User>) -> Tokens {
        Tokens {
            user,
            held: Mutex::new(None),
        }
    }

    /// The token to show, from a log-in over this channel if there is none.
    pub(crate) async fn get(&self, channel: &Channel) -> Result<Token, Status> {
        let Some(user) = &self.user else {
            return Ok(Token::default());
        };
        let mut held = self.held.lock().await;
        let login = match &*held {
            Some(token) if !token.stale => return Ok(token.clone()),
            Some(token) => token.login + 1,
            None => 1,
        };
        let token = Token {
            value: log_in(channel, user).await?,
            login,
            stale: false,
        };
        *held = Some(token.clone());
        Ok(token)
    }

    /// A member did not take it. False if there is no user to log in, so that another try is vain.
    pub(crate) async fn forget(&self, token: &Token) -> bool {
        if self.user.is_none() {
            return false;
        }
        let mut held = self.held.lock().await;
        if let Some(now) = &mut *held
            && now.login == token.login
        {
            now.stale = true;
        }
        true
    }
}

async fn log_in(channel: &Channel, user: &User) -> Result<Option<MetadataValue<Ascii>>, Status> {
    let request = Request::new(AuthenticateRequest {
        name: user.name.clone(),
        password: user.password.clone(),
    });
    let answer = AuthClient::new(channel.clone()).authenticate(request).await;
    let token = match answer {
        Ok(answer) => answer.into_inner().token,
        Err(status) if not_enabled(&status) => return Ok(None),
        Err(status) => return Err(status),
    };
    let value = MetadataValue::try_from(token);
    value
        .map(Some)
        .map_err(|_| Status::internal("the token cannot be shown in a header"))
}

fn not_enabled(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().contains(NOT_ENABLED)
}
