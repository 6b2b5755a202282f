//! Bytes below gRPC, and messages that are no messages.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use rand::{Rng, RngCore, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

use crate::connection::Connection;

/// What begins every HTTP/2 connection, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// How a TLS handshake begins.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";

const HTTP1: &[u8] = b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n";

const MAX_NOISE: usize = 6000;

/// How long a connection of noise is listened to.
const LISTEN: Duration = Duration::from_millis(30);

/// Methods that take one message. Those that change members or end the process on purpose are
/// named apart.
const METHODS: [&str; 22] = [
    "KV/Range",
    "KV/Put",
    "KV/DeleteRange",
    "KV/Txn",
    "KV/Compact",
    "KV/RangeStream",
    "KV/NoSuchMethod",
    "NoSuchService/Put",
    "Watch/Watch",
    "Lease/LeaseGrant",
    "Lease/LeaseRevoke",
    "Lease/LeaseKeepAlive",
    "Lease/LeaseTimeToLive",
    "Lease/LeaseLeases",
    "Cluster/MemberAdd",
    "Cluster/MemberRemove",
    "Cluster/MemberPromote",
    "Cluster/MemberList",
    "Maintenance/Status",
    "Maintenance/HashKV",
    "Maintenance/MoveLeader",
    "Auth/Authenticate",
];

/// On etcd these end the process that serves them, or every member.
const DEADLY_ON_ETCD: [&str; 2] = ["Maintenance/Alarm", "Cluster/MemberUpdate"];

/// Opens connections, says nonsense and leaves. Errors are what is asked for.
pub async fn random_bytes(port: u16, connections: u32, random: &mut StdRng) {
    for number in 0..connections {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        let opening: &[u8] = match number % 5 {
            0 => &[],
            1 => PREFACE,
            2 => CLIENT_HELLO,
            3 => HTTP1,
            _ => b"GET /",
        };
        let noise = noise(random, MAX_NOISE);
        let _ = stream.write_all(opening).await;
        let _ = stream.write_all(&noise).await;
        if number % 2 == 0 {
            let _ = stream.shutdown().await;
        }
        let mut answer = [0; 512];
        let _ = tokio::time::timeout(LISTEN, stream.read(&mut answer)).await;
    }
}

/// Calls every method with noise in place of a message, and with messages that begin well.
pub async fn random_messages(
    connection: &Connection,
    is_etcd: bool,
    messages: u32,
    random: &mut StdRng,
) {
    let deadly = DEADLY_ON_ETCD.iter().filter(|_| !is_etcd);
    for method in METHODS.iter().chain(deadly) {
        for number in 0..messages {
            let mut message = if number % 2 == 0 {
                Vec::new()
            } else {
                b"\x0a\x03abc".to_vec()
            };
            message.extend(noise(random, 200));
            let _ = unary(connection, method, Bytes::from(message)).await;
        }
    }
}

async fn unary(connection: &Connection, method: &str, message: Bytes) -> Result<Bytes, Status> {
    let path = PathAndQuery::try_from(format!("/etcdserverpb.{method}"))
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut client = tonic::client::Grpc::new(connection.channel());
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let call = client.unary(tonic::Request::new(message), path, Plain);
    match tokio::time::timeout(Duration::from_millis(300), call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..=most)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A codec that sends and takes bytes as they are.
#[derive(Clone, Copy, Debug)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;

    fn encoder(&mut self) -> Plain {
        Plain
    }

    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
