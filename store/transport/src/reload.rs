//! Files that change are read again, without a restart and without a lost connection.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::error::Error;
use crate::material::Material;
use crate::tls::{Now, Tls};

/// Between two looks at the files. They are compared by content, because a Secret that Kubernetes
/// mounts changes by a link, and tools that rotate keep times as they please.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

impl Tls {
    /// Looks at the files for as long as it is polled. What cannot be used is logged once, and the
    /// last that could goes on being used: certificate and key are two files, and a look may fall
    /// between their writes.
    pub async fn keep_loaded(self) {
        let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = None;
        loop {
            ticks.tick().await;
            let tls = self.clone();
            // Off the thread that carries raft: a disk may hang.
            let looked = tokio::task::spawn_blocking(move || tls.reload()).await;
            match looked {
                Ok(Ok(reloaded)) => {
                    complained = None;
                    if reloaded {
                        self.tell();
                    }
                }
                Ok(Err(error)) => {
                    let text = error.to_string();
                    if complained.as_ref() != Some(&text) {
                        let side = self.side().label();
                        tracing::error!(side, error = text, "changed TLS files are not used");
                        complained = Some(text);
                    }
                }
                // The runtime is shutting down.
                Err(_) => return,
            }
        }
    }

    /// Reads the files; true if they were others than before and are in use now.
    pub fn reload(&self) -> Result<bool, Error> {
        let material = Material::read(&self.0.files)?;
        if material.digest == self.now().digest {
            return Ok(false);
        }
        self.replace(Now::make(&material, &self.0.policy)?);
        Ok(true)
    }

    fn tell(&self) {
        for loaded in self.loaded() {
            tracing::info!(
                side = self.side().label(),
                role = loaded.role.label(),
                fingerprint = loaded.certificate.fingerprint,
                "TLS file loaded"
            );
        }
    }
}
