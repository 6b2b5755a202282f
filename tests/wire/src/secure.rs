use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use mainstay_pki::{Authority, Leaf, Pair, replace};
use rustls::ClientConfig;

use crate::tls::client;

/// Certificates of one cluster, from one authority, and what its clients show.
pub struct Secure {
    pub ca: PathBuf,
    pub client: Pair,
    /// For gRPC.
    pub config: Arc<ClientConfig>,
    /// For HTTP/1.1.
    pub web: Arc<ClientConfig>,
    authority: Authority,
    dir: PathBuf,
}

impl Secure {
    pub fn new(dir: &Path) -> Result<Self> {
        let authority = Authority::new("wire")?;
        let ca = dir.join("ca.crt");
        replace(&ca, &authority.pem())?;
        // A name would make it a user wherever users are switched on.
        let leaf = Leaf {
            common_name: String::new(),
            for_servers: false,
            ..Leaf::default()
        };
        let client = authority.write(dir, "client", &leaf)?;
        Ok(Self {
            config: client::config(&ca, Some(&client), &[b"h2"])?,
            web: client::config(&ca, Some(&client), &[b"http/1.1"])?,
            ca,
            client,
            authority,
            dir: dir.to_owned(),
        })
    }

    /// What a command like etcdctl is told of all this.
    pub fn command_flags(&self) -> [String; 3] {
        [
            format!("--cacert={}", self.ca.display()),
            format!("--cert={}", self.client.cert.display()),
            format!("--key={}", self.client.key.display()),
        ]
    }

    /// Who has signed all certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a member's certificate; returns the flags that name it.
    pub fn member_flags(&self, name: &str) -> Result<Vec<String>> {
        let pair = self.authority.write(&self.dir, name, &Leaf::default())?;
        Ok(mainstay_pki::member_flags(&self.ca, &pair))
    }
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}
