//! The wire contract: etcd's v3 API and what our own members write and say, generated from the
//! .proto files of this crate.
//!
//! Nothing here decides anything. Limits and rights are in `store/api`, the meaning of a command
//! in `store/apply`.
//!
//! `bytes` fields are [`bytes::Bytes`] and may be slices of a network buffer: whoever keeps one
//! longer than the request copies it first, or it pins the whole buffer.

#![allow(clippy::all)]

mod secret;

pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

pub mod authpb {
    tonic::include_proto!("authpb");
}

pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// Our own packages; nested as the generated code expects it.
pub mod mainstay {
    pub mod entry {
        tonic::include_proto!("mainstay.entry");
    }
    pub mod peer {
        tonic::include_proto!("mainstay.peer");
    }
}

/// What a raft entry carries.
pub use mainstay::entry;
/// What members say to each other.
pub use mainstay::peer;

/// Encoded `FileDescriptorSet` of all of the above, for gRPC reflection.
pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
