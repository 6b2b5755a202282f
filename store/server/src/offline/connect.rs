//! The member that a command talks to, and how: etcdctl's flags.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mainstay_proto::etcdserverpb::AuthenticateRequest;
use mainstay_proto::etcdserverpb::auth_client::AuthClient;
use mainstay_transport::{ClientFiles, ClientTls, Resolver};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use zeroize::Zeroizing;

use crate::dial;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Server {
    /// The one member to ask.
    #[arg(long, default_value = "127.0.0.1:2379")]
    endpoints: String,
    /// Authorities to verify the member's certificate by, in PEM; the system's if none is given.
    #[arg(long)]
    cacert: Option<PathBuf>,
    /// Certificate to show.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Takes the member for who it says it is.
    #[arg(long)]
    insecure_skip_tls_verify: bool,
    /// Name of the user, or `name:password`; needs the role root.
    #[arg(long)]
    user: Option<Secret>,
    /// Password of the user.
    #[arg(long, requires = "user")]
    password: Option<Secret>,
}

/// A text that no output shows.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(Zeroizing::new(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Server {
    /// Connects, and authenticates if a user is named. The token goes with each request.
    pub async fn connect(&self) -> Result<(Channel, Option<AsciiMetadataValue>)> {
        let url = self.url()?;
        let tls = match url.starts_with("https://") {
            true => Some(ClientTls::open(&self.files(), &[b"h2"])?),
            false => None,
        };
        let channel = dial::channel(&url, tls, CONNECT_TIMEOUT, Resolver::system()?).await?;
        let token = self.token(&channel).await?;
        Ok((channel, token))
    }

    fn url(&self) -> Result<String> {
        let endpoints = &self.endpoints;
        if endpoints.contains(',') {
            bail!("snapshot must be requested to one selected node, not multiple {endpoints}");
        }
        let secure = self.cacert.is_some() || self.cert.is_some() || self.insecure_skip_tls_verify;
        match endpoints.split_once("://") {
            // As in etcdctl a certificate says that TLS is meant.
            None if secure => Ok(format!("https://{endpoints}")),
            None => Ok(format!("http://{endpoints}")),
            Some(("http" | "https", _)) => Ok(endpoints.to_owned()),
            Some(_) => bail!("--endpoints: a URL must be http or https: {endpoints}"),
        }
    }

    fn files(&self) -> ClientFiles {
        ClientFiles {
            trusted_ca: self.cacert.clone(),
            pair: self.cert.clone().zip(self.key.clone()),
            skip_verify: self.insecure_skip_tls_verify,
        }
    }

    async fn token(&self, channel: &Channel) -> Result<Option<AsciiMetadataValue>> {
        let Some(Secret(user)) = &self.user else {
            return Ok(None);
        };
        let (name, password) = match (&self.password, user.split_once(':')) {
            (Some(Secret(password)), _) => (user.as_str(), password.as_str()),
            (None, Some((name, password))) => (name, password),
            (None, None) => bail!(
                "--user {} needs --password, or user:password",
                user.as_str()
            ),
        };
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let answer = AuthClient::new(channel.clone())
            .authenticate(request)
            .await?;
        let token = answer.into_inner().token;
        Ok(Some(
            token.parse().context("the member's token is no text")?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: Server,
    }

    fn url(arguments: &[&str]) -> Result<String> {
        let line = ["x"].iter().chain(arguments);
        Line::try_parse_from(line)?.server.url()
    }

    #[test]
    fn one_endpoint_is_asked_and_a_certificate_means_tls() {
        assert_eq!(url(&["--endpoints=h:1"]).unwrap(), "http://h:1");
        assert_eq!(url(&["--endpoints=http://h:1"]).unwrap(), "http://h:1");
        assert_eq!(url(&["--endpoints=https://h:1"]).unwrap(), "https://h:1");
        assert_eq!(
            url(&["--endpoints=h:1", "--cacert=c"]).unwrap(),
            "https://h:1"
        );
        assert!(url(&["--endpoints=ftp://h:1"]).is_err());
        let two = url(&["--endpoints=h:1,i:1"]).unwrap_err();
        assert!(two.to_string().contains("one selected"));
        assert!(url(&["--cert=c"]).is_err());
        assert!(url(&["--password=p"]).is_err());
    }
}
