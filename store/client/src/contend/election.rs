//! Elections: one leader at a time, with a word that everybody can read.

use bytes::Bytes;
use mainstay_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use mainstay_proto::mvccpb::KeyValue;

use super::Contender;
use crate::client::Client;
use crate::error::Error;
use crate::kv::{Compare, Op};
use crate::lease::Lease;
use crate::watch::Watch;

/// A post that one of many may hold.
#[derive(Clone, Debug)]
pub struct Election {
    client: Client,
    name: Bytes,
}

/// A post that is held, until it is given up or the lease ends.
#[must_use]
#[derive(Debug)]
pub struct Reign(Contender);

/// Who leads, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proclaimed {
    pub value: Bytes,
    pub lease: i64,
    /// At which it was elected.
    pub elected: i64,
}

/// Leaders as they come and go.
#[derive(Debug)]
pub struct Observer {
    election: Election,
    watch: Option<Watch>,
    told: Option<Option<Proclaimed>>,
}

impl Client {
    pub fn election(&self, name: impl AsRef<[u8]>) -> Election {
        Election {
            client: self.clone(),
            name: Bytes::copy_from_slice(name.as_ref()),
        }
    }
}

impl Election {
    /// Waits to be elected and says `value` to whoever asks.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the lease ends before.
    pub async fn campaign(&self, value: impl Into<Vec<u8>>, lease: &Lease) -> Result<Reign, Error> {
        let contender = Contender::enter(&self.client, &self.name, value.into(), lease).await?;
        contender.turn(lease).await?;
        Ok(Reign(contender))
    }

    /// Who leads now.
    pub async fn leader(&self) -> Result<Option<Proclaimed>, Error> {
        Ok(self.look().await?.0)
    }

    /// The leader of now, and each that follows.
    pub fn observe(&self) -> Observer {
        Observer {
            election: self.clone(),
            watch: None,
            told: None,
        }
    }

    async fn look(&self) -> Result<(Option<Proclaimed>, i64), Error> {
        let prefix = [&self.name[..], b"/"].concat();
        let first = self.client.get(prefix).prefix().limit(1);
        let found = first.sorted(SortTarget::Create, SortOrder::Ascend).await?;
        Ok((found.first().map(Proclaimed::of), found.revision))
    }
}

impl Proclaimed {
    fn of(kv: &KeyValue) -> Proclaimed {
        Proclaimed {
            value: kv.value.clone(),
            lease: kv.lease,
            elected: kv.create_revision,
        }
    }
}

impl Observer {
    /// The leader that is there now, then each change: none if nobody leads.
    pub async fn next(&mut self) -> Result<Option<Proclaimed>, Error> {
        loop {
            let (leader, revision) = self.election.look().await?;
            if self.watch.is_none() {
                let prefix = [&self.election.name[..], b"/"].concat();
                let watching = self.election.client.watch(prefix).prefix();
                self.watch = Some(watching.from_revision(revision + 1).await?);
            }
            if self.told.as_ref() != Some(&leader) {
                self.told = Some(leader.clone());
                return Ok(leader);
            }
            let seen = match &mut self.watch {
                Some(watch) => watch.next().await,
                None => None,
            };
            match seen {
                Some(Ok(_)) => {}
                // It looks again, and watches from there.
                None | Some(Err(Error::Compacted { .. })) => self.watch = None,
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

impl Reign {
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// A condition that holds as long as the post is this leader's: in its transactions it keeps
    /// out what it writes after its time.
    pub fn fence(&self) -> Compare {
        Compare::created_at(&self.0.key, self.0.revision)
    }

    /// Says something else from now on.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the post is another's by now.
    pub async fn proclaim(&self, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        let put = Op::put_leased(&self.0.key, value, self.0.lease);
        let outcome = self.0.client.txn().when(self.fence()).then(put).await?;
        match outcome.succeeded {
            true => Ok(()),
            false => Err(Error::LeaseLost {
                id: self.0.lease,
                reason: "the key is gone".to_owned(),
            }),
        }
    }

    /// Gives the post up.
    pub async fn resign(self) -> Result<(), Error> {
        self.0.leave().await
    }
}
