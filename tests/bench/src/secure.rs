//! Certificates of a cluster that is measured over TLS. Both sides get files of the same kind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mainstay_pki::{Authority, Leaf, Pair, replace};

/// One authority, one certificate for all members, and one for the client.
pub struct Secure {
    ca: PathBuf,
    member: Pair,
    client: Pair,
}

impl Secure {
    pub fn new(folder: &Path) -> Result<Secure> {
        let dir = folder.join("tls");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let authority = Authority::new("bench")?;
        let ca = dir.join("ca.crt");
        replace(&ca, &authority.pem())?;
        let member = authority.write(&dir, "member", &Leaf::default())?;
        let client = authority.write(&dir, "client", &Leaf::default())?;
        Ok(Secure { ca, member, client })
    }

    pub fn member_flags(&self) -> Vec<String> {
        mainstay_pki::member_flags(&self.ca, &self.member)
    }

    /// For `benchmark` and `etcdctl`.
    pub fn client_flags(&self) -> Vec<String> {
        vec![
            format!("--cacert={}", self.ca.display()),
            format!("--cert={}", self.client.cert.display()),
            format!("--key={}", self.client.key.display()),
        ]
    }
}
