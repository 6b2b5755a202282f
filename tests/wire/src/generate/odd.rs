use bytes::Bytes;
use rand::seq::IndexedRandom;

use super::Generator;
use crate::request::Request;

/// Paths that no server knows, and well-known ones with bodies of any kind.
const PATHS: &[(&str, &[u8])] = &[
    ("/etcdserverpb.KV/Nothing", b""),
    ("/etcdserverpb.Nothing/Range", b""),
    ("/nothing/at.all", b"\x0a\x01a"),
    ("/etcdserverpb.Maintenance/Restore", b""),
    ("/grpc.health.v1.Health/Check", b""),
    ("/grpc.health.v1.Health/Check", b"\x0a\x07nothing"),
    // A field that no message has: it is passed over, and what fails is the missing key.
    ("/etcdserverpb.KV/Range", b"\xf8\x07\x01"),
];

pub fn request(of: &mut Generator) -> Request {
    let (path, body) = PATHS.choose(&mut of.rng).copied().unwrap_or(PATHS[0]);
    Request::Raw {
        path,
        body: Bytes::from_static(body),
    }
}
