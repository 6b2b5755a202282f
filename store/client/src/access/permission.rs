//! What a role permits: reads, writes or both, on a key or a range of keys.

use bytes::Bytes;
use mainstay_proto::authpb::Permission as Wire;
use mainstay_proto::authpb::permission::Type;

use crate::error::Error;
use crate::keys::Keys;

/// What may be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rights {
    Read,
    Write,
    ReadWrite,
}

/// Rights on a range of keys. Begin with [`Permission::read`], [`Permission::write`] or
/// [`Permission::read_write`], which are of every key, and narrow them.
///
/// ```
/// use mainstay_client::access::Permission;
///
/// let orders = Permission::read_write().prefix("orders/");
/// assert_eq!((&orders.key[..], &orders.end[..]), (&b"orders/"[..], &b"orders0"[..]));
/// let one = Permission::read().key("settings");
/// assert!(one.end.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub rights: Rights,
    /// The first key.
    pub key: Bytes,
    /// The first key that is beyond, in etcd's form: none is the one key, a zero byte is all that
    /// follow.
    pub end: Bytes,
}

impl Permission {
    pub fn new(rights: Rights) -> Permission {
        Permission::on(rights, Keys::one(b"").with_prefix())
    }

    pub fn read() -> Permission {
        Permission::new(Rights::Read)
    }

    pub fn write() -> Permission {
        Permission::new(Rights::Write)
    }

    pub fn read_write() -> Permission {
        Permission::new(Rights::ReadWrite)
    }

    /// Of one key.
    #[must_use]
    pub fn key(self, key: impl AsRef<[u8]>) -> Permission {
        Permission::on(self.rights, Keys::one(key.as_ref()))
    }

    /// Of all keys that begin so.
    #[must_use]
    pub fn prefix(self, prefix: impl AsRef<[u8]>) -> Permission {
        Permission::on(self.rights, Keys::one(prefix.as_ref()).with_prefix())
    }

    /// Of a key and all after it.
    #[must_use]
    pub fn onwards(self, key: impl AsRef<[u8]>) -> Permission {
        Permission::on(self.rights, Keys::one(key.as_ref()).onwards())
    }

    /// Of a key and all after it that come before `end`.
    #[must_use]
    pub fn range(self, key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> Permission {
        let keys = Keys::one(key.as_ref()).until(end.as_ref());
        Permission::on(self.rights, keys)
    }

    fn on(rights: Rights, keys: Keys) -> Permission {
        Permission {
            rights,
            key: keys.key,
            end: keys.end,
        }
    }

    pub(super) fn of(wire: Wire) -> Result<Permission, Error> {
        let rights = match Type::try_from(wire.perm_type) {
            Ok(Type::Read) => Rights::Read,
            Ok(Type::Write) => Rights::Write,
            Ok(Type::Readwrite) => Rights::ReadWrite,
            Err(_) => {
                return Err(Error::Malformed {
                    call: "RoleGet",
                    reason: format!("nobody knows a permission of type {}", wire.perm_type),
                });
            }
        };
        Ok(Permission {
            rights,
            key: wire.key,
            end: wire.range_end,
        })
    }
}

impl From<Permission> for Wire {
    fn from(permission: Permission) -> Wire {
        let kind = match permission.rights {
            Rights::Read => Type::Read,
            Rights::Write => Type::Write,
            Rights::ReadWrite => Type::Readwrite,
        };
        Wire {
            perm_type: kind.into(),
            key: permission.key,
            range_end: permission.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_travel_as_they_are() {
        for permission in [
            Permission::read().key("a"),
            Permission::write().range("a", "c"),
            Permission::read_write().onwards("a"),
            Permission::read_write(),
        ] {
            let wire = Wire::from(permission.clone());
            assert_eq!(Permission::of(wire).unwrap(), permission);
        }
    }

    #[test]
    fn every_key_is_from_the_least_one_on() {
        let all = Permission::read();
        assert_eq!((&all.key[..], &all.end[..]), (&b"\0"[..], &b"\0"[..]));
        assert_eq!(Permission::read().prefix(""), all);
    }

    #[test]
    fn a_type_that_nobody_knows_is_told() {
        let wire = Wire {
            perm_type: 7,
            ..Wire::default()
        };
        assert!(matches!(
            Permission::of(wire),
            Err(Error::Malformed {
                call: "RoleGet",
                ..
            })
        ));
    }
}
