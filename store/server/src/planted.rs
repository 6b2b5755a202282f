//! Faults planted for the chaos suite, which must catch each of them. Without the cargo feature
//! `planted-faults` there are none to plant and the environment is not looked at.

#[cfg(feature = "planted-faults")]
pub use on::Faults;

#[cfg(not(feature = "planted-faults"))]
pub use off::Faults;

#[cfg(feature = "planted-faults")]
mod on {
    use anyhow::{Result, bail};

    /// One of the names below.
    const VARIABLE: &str = "MAINSTAY_PLANTED_FAULT";

    #[derive(Default)]
    pub struct Faults {
        ack_before_sync: bool,
        split_applied: bool,
        progress_first: bool,
        skip_read_index: bool,
    }

    impl Faults {
        pub fn from_env() -> Result<Faults> {
            let mut faults = Faults::default();
            let Ok(name) = std::env::var(VARIABLE) else {
                return Ok(faults);
            };
            match name.as_str() {
                "" => {}
                "ack-before-fsync" => faults.ack_before_sync = true,
                "read-without-read-index" => faults.skip_read_index = true,
                "applied-index-apart" => faults.split_applied = true,
                "progress-before-events" => faults.progress_first = true,
                _ => bail!("{VARIABLE}: there is no fault named {name}"),
            }
            tracing::error!(fault = name, "a fault is planted; trust nothing");
            Ok(faults)
        }

        pub fn plant_wal(&self, options: &mut mainstay_wal::Options) {
            options.faults.ack_before_sync = self.ack_before_sync;
        }

        pub fn plant_store(&self, options: &mut mainstay_mvcc::Options) {
            options.fault_split_applied = self.split_applied;
        }

        pub fn plant_hub(&self, options: &mut mainstay_watch::Options) {
            options.fault_progress_first = self.progress_first;
        }

        pub fn plant_raft(&self, settings: &mut mainstay_raft::Settings) {
            settings.skip_read_index = self.skip_read_index;
        }
    }
}

#[cfg(not(feature = "planted-faults"))]
mod off {
    use anyhow::Result;

    pub struct Faults;

    impl Faults {
        pub fn from_env() -> Result<Faults> {
            Ok(Faults)
        }

        pub fn plant_wal(&self, _options: &mut mainstay_wal::Options) {}

        pub fn plant_store(&self, _options: &mut mainstay_mvcc::Options) {}

        pub fn plant_hub(&self, _options: &mut mainstay_watch::Options) {}

        pub fn plant_raft(&self, _settings: &mut mainstay_raft::Settings) {}
    }
}
