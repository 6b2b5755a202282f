//! Why a step was not carried out.

use mainstay_operator_api::condition::Reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {}", words(.source))]
    Api {
        what: String,
        source: Box<kube::Error>,
    },
    #[error(
        "{what}: {}; set allowVolumeExpansion on its storage class, if that can grow volumes",
        words(.source)
    )]
    Growth {
        what: String,
        source: Box<kube::Error>,
    },
    #[error(transparent)]
    Member(#[from] mainstay_operator_member::Error),
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    #[error("an object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the Secret {0} is missing")]
    SecretMissing(String),
    #[error("the Secret {secret} has no usable {key}")]
    SecretIncomplete { secret: String, key: &'static str },
    /// What the step is about is not as it was when it was decided; the next pass looks anew.
    #[error("{0} has changed meanwhile")]
    Changed(String),
    #[error("member {0:x} cannot be asked")]
    NotConnected(u64),
    #[error("no member can be asked")]
    NobodyConnected,
}

impl Error {
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let what = what.into();
        move |source| match &source {
            kube::Error::Api(status) if status.code == 409 => Error::Changed(what),
            _ => Error::Api {
                what,
                source: Box::new(source),
            },
        }
    }

    /// The same of a volume that is to grow.
    pub(crate) fn growth(volume: &str) -> impl FnOnce(kube::Error) -> Error {
        let named = Error::api(format!("growing volume {volume}"));
        |source| match named(source) {
            Error::Api { what, source } => Error::Growth { what, source },
            other => other,
        }
    }

    /// Whether another look is all that it takes.
    pub fn is_change(&self) -> bool {
        matches!(self, Error::Changed(_))
    }

    /// The reason by which the cluster's conditions name it.
    pub fn reason(&self) -> Reason {
        match self {
            Error::SecretMissing(_) | Error::SecretIncomplete { .. } => Reason::SecretMissing,
            Error::Growth { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if matches!(status.code, 403 | 422) => {
                    Reason::GrowthRefused
                }
                _ => Reason::ApplyFailed,
            },
            _ => Reason::ApplyFailed,
        }
    }
}

/// The API server's own words, where it has answered; the rest of its answer is for programs.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16) -> kube::Error {
        let status = Status::failure("volumes do not grow", "Forbidden").with_code(code);
        kube::Error::Api(Box::new(status))
    }

    fn refused(what: &str, code: u16) -> Error {
        Error::api(what)(answer(code))
    }

    #[test]
    fn errors_say_what_the_api_server_said_and_fall_into_reasons() {
        let growing = Error::growth("data-a-0")(answer(403));
        assert_eq!(growing.reason(), Reason::GrowthRefused);
        assert_eq!(
            growing.to_string(),
            "growing volume data-a-0: volumes do not grow; set allowVolumeExpansion on its storage \
             class, if that can grow volumes"
        );
        assert_eq!(refused("Service a", 403).reason(), Reason::ApplyFailed);
        let missing = Error::SecretMissing("x".to_owned());
        assert_eq!(missing.reason(), Reason::SecretMissing);
    }

    #[test]
    fn a_conflict_only_asks_for_another_look() {
        assert!(refused("Service a", 409).is_change());
        assert!(!refused("Service a", 500).is_change());
    }
}
