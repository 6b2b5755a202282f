//! A client as the environment of its process describes it, so that one program runs unchanged on a
//! desk and in a pod.

use std::ffi::OsString;

use mainstay_transport::ClientFiles;

use crate::client::{Builder, Client};
use crate::error::Error;

/// Where etcd's own tools look for a member that nobody has named.
const ENDPOINT: &str = "127.0.0.1:2379";

const ENDPOINTS: &str = "MAINSTAY_ENDPOINTS";
const CACERT: &str = "MAINSTAY_CACERT";
const CERT: &str = "MAINSTAY_CERT";
const KEY: &str = "MAINSTAY_KEY";
const USER: &str = "MAINSTAY_USER";
const PASSWORD: &str = "MAINSTAY_PASSWORD";

impl Client {
    /// A client of the cluster that the environment names: see [`Builder::from_env`].
    ///
    /// # Errors
    /// Those of [`Builder::from_env`] and [`Builder::build`].
    pub fn from_env() -> Result<Client, Error> {
        Builder::from_env()?.build()
    }
}

impl Builder {
    /// Begins with what the environment says; what is not there has etcdctl's default.
    ///
    /// | variable | what it holds | without it |
    /// |---|---|---|
    /// | `MAINSTAY_ENDPOINTS` | members as in [`Builder::endpoint`], separated by commas | `127.0.0.1:2379` |
    /// | `MAINSTAY_CACERT` | the file of the authorities to trust | those of the system |
    /// | `MAINSTAY_CERT`, `MAINSTAY_KEY` | the files of the certificate to show and of its key | none is shown |
    /// | `MAINSTAY_USER` | a user's name, or `name:password` | nobody |
    /// | `MAINSTAY_PASSWORD` | the user's password | that of `MAINSTAY_USER` |
    ///
    /// They mean what etcdctl means by those that begin with `ETCDCTL_`. One that is empty counts as
    /// one that is not there.
    ///
    /// # Errors
    /// [`Error::Setting`] with the name of a variable that lacks another or is not Unicode; never
    /// with what it holds.
    pub fn from_env() -> Result<Builder, Error> {
        let told = Told::by(|name| std::env::var_os(name))?;
        let mut builder = Client::builder().endpoints(told.endpoints);
        if let Some(files) = told.files {
            builder = builder.tls(files);
        }
        Ok(match told.user {
            Some((name, password)) => builder.user(name, password),
            None => builder,
        })
    }
}

/// What the variables say.
struct Told {
    endpoints: Vec<String>,
    files: Option<ClientFiles>,
    user: Option<(String, String)>,
}

impl Told {
    fn by(read: impl Fn(&str) -> Option<OsString>) -> Result<Told, Error> {
        let read = |name| read(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| {
            let value = read(name).map(OsString::into_string).transpose();
            value.map_err(|_| unusable(name, "it is not Unicode".to_owned()))
        };
        let endpoints = text(ENDPOINTS)?.unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoints = endpoints.split(',').map(str::trim);
        let endpoints = endpoints.filter(|endpoint| !endpoint.is_empty());
        let files = ClientFiles {
            trusted_ca: read(CACERT).map(Into::into),
            pair: match (read(CERT), read(KEY)) {
                (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
                (Some(_), None) => return Err(lacks(CERT, KEY)),
                (None, Some(_)) => return Err(lacks(KEY, CERT)),
                (None, None) => None,
            },
            skip_verify: false,
        };
        let user = match (text(USER)?, text(PASSWORD)?) {
            (Some(name), Some(password)) => Some((name, password)),
            (Some(both), None) => {
                let split = both.split_once(':');
                let (name, password) = split.ok_or_else(|| lacks(USER, PASSWORD))?;
                Some((name.to_owned(), password.to_owned()))
            }
            (None, Some(_)) => return Err(lacks(PASSWORD, USER)),
            (None, None) => None,
        };
        Ok(Told {
            endpoints: endpoints.map(str::to_owned).collect(),
            // Whoever names a certificate means TLS, also where an endpoint has no scheme.
            files: (files != ClientFiles::default()).then_some(files),
            user,
        })
    }
}

fn lacks(name: &str, other: &str) -> Error {
    unusable(name, format!("{other} is not set beside it"))
}

/// By its name only: it may hold a password.
fn unusable(name: &str, reason: String) -> Error {
    Error::Setting {
        what: "usable variable",
        value: name.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn told(variables: &[(&str, &str)]) -> Result<Told, Error> {
        Told::by(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn without_variables_it_is_a_member_of_this_machine_and_nobody() {
        let told = told(&[("MAINSTAY_USER", ""), ("MAINSTAY_CERT", "")]).unwrap();
        assert_eq!(told.endpoints, ["127.0.0.1:2379"]);
        assert!(told.files.is_none() && told.user.is_none());
    }

    #[test]
    fn endpoints_are_separated_by_commas() {
        let some = told(&[("MAINSTAY_ENDPOINTS", "https://a:1, b:2,")]).unwrap();
        assert_eq!(some.endpoints, ["https://a:1", "b:2"]);
        // To name none is not the same as to say nothing.
        let none = told(&[("MAINSTAY_ENDPOINTS", ",")]).unwrap();
        assert!(none.endpoints.is_empty());
    }

    #[test]
    fn a_certificate_goes_with_its_key_and_a_password_with_a_user() {
        let pair = [("MAINSTAY_CERT", "a.crt"), ("MAINSTAY_KEY", "a.key")];
        let files = told(&pair).unwrap().files.unwrap();
        assert_eq!(files.trusted_ca, None);
        assert_eq!(files.pair, Some(("a.crt".into(), "a.key".into())));
        for (name, other) in [
            ("MAINSTAY_CERT", "MAINSTAY_KEY"),
            ("MAINSTAY_KEY", "MAINSTAY_CERT"),
            ("MAINSTAY_USER", "MAINSTAY_PASSWORD"),
            ("MAINSTAY_PASSWORD", "MAINSTAY_USER"),
        ] {
            let reason = told(&[(name, "secret")])
                .err()
                .map(|error| error.to_string());
            let wanted = format!("{name:?} is no usable variable: {other} is not set beside it");
            assert_eq!(reason, Some(wanted));
        }
    }

    #[test]
    fn a_user_may_bring_the_password_along() {
        let user = |variables: &[_]| told(variables).unwrap().user.unwrap();
        let both = user(&[("MAINSTAY_USER", "shop:a:b")]);
        assert_eq!(both, ("shop".to_owned(), "a:b".to_owned()));
        let apart = user(&[("MAINSTAY_USER", "shop:a"), ("MAINSTAY_PASSWORD", "b")]);
        assert_eq!(apart, ("shop:a".to_owned(), "b".to_owned()));
    }

    #[test]
    fn what_is_not_unicode_is_told_without_its_value() {
        let read = |name: &str| (name == USER).then(|| OsString::from_vec(vec![b'a', 0xff]));
        let reason = Told::by(read).err().map(|error| error.to_string());
        let wanted = "\"MAINSTAY_USER\" is no usable variable: it is not Unicode";
        assert_eq!(reason.as_deref(), Some(wanted));
    }
}
