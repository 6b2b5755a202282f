//! The differential suite: the same requests go to etcd 3.7.1 and to a server under test, and the
//! normalised answers, event streams and hashes must be equal.
//!
//! Must not know anything of Mainstay but its binary and the wire: whatever it finds, an etcd
//! client would find too. It keeps no expectation of its own beyond what etcd answers, except for
//! the rules of a single watch stream and the table in `deviations`.
//!
//! Read next: `request` and `outcome` (what is compared), `pair` (how), `generate` (random
//! requests), `script` (written ones).

pub mod apiserver;
pub mod auth;
pub mod client;
pub mod clients;
pub mod cluster;
pub mod coverage;
pub mod deviations;
pub mod diff;
pub mod direct;
pub mod door;
pub mod etcdctl;
pub mod generate;
pub mod go_client;
pub mod http;
pub mod json;
pub mod listed;
pub mod lock;
pub mod member;
pub mod names;
pub mod network;
pub mod normalise;
pub mod observe;
pub mod options;
pub mod outcome;
pub mod pair;
pub mod peer;
pub mod perform;
pub mod plain_http;
pub mod player;
pub mod ports;
pub mod raw;
pub mod request;
pub mod rust_client;
pub mod script;
pub mod secure;
pub mod snapshot;
pub mod stream;
pub mod target;
pub mod ties;
pub mod tls;
pub mod world;
