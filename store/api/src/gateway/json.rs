//! Messages as JSON and back, by protobuf's rules for it, driven by the descriptors of the API.
//!
//! Out: field names as in the .proto files, what is zero left out, 64-bit numbers as strings,
//! enums by name, bytes in padded base64. In: either form of a name, numbers or strings, both
//! alphabets of base64 with or without padding, enums by name or number, unknown fields ignored.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use mainstay_proto::FILE_DESCRIPTORS;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use tonic::{Code, Status};

use crate::grpc::PREFIX_BYTES;
use crate::rights::Row;

/// The descriptors this binary was built from. If they could not be read nothing would have a
/// path, which a test would see.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTORS).unwrap_or_default());

/// Fields and enum values that are not known are of a newer client.
static LENIENT: LazyLock<DeserializeOptions> =
    LazyLock::new(|| DeserializeOptions::new().deny_unknown_fields(false));

static OPTIONS: LazyLock<SerializeOptions> = LazyLock::new(|| {
    SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(true)
});

/// The messages of one RPC.
#[derive(Clone, Debug)]
pub struct Shapes {
    pub request: MessageDescriptor,
    pub response: MessageDescriptor,
}

impl Shapes {
    pub fn of(row: &Row) -> Option<Shapes> {
        let service = POOL.get_service_by_name(row.service)?;
        let method = service.methods().find(|method| method.name() == row.name)?;
        Some(Shapes {
            request: method.input(),
            response: method.output(),
        })
    }
}

/// Reads a JSON object into a gRPC message, prefix in front.
pub fn read(text: &[u8], shape: MessageDescriptor) -> Result<Bytes, Status> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let message =
        DynamicMessage::deserialize_with_options(shape, &mut json, &LENIENT).map_err(invalid)?;
    json.end().map_err(invalid)?;
    let length = message.encoded_len();
    let prefix = u32::try_from(length).map_err(invalid)?;
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + length);
    out.put_u8(0);
    out.put_u32(prefix);
    message.encode(&mut out).map_err(invalid)?;
    Ok(out.freeze())
}

/// Writes a message, without its prefix, as a JSON object.
pub fn write(message: Bytes, shape: MessageDescriptor) -> Result<Bytes, Status> {
    let broken = |error: &dyn std::fmt::Display| {
        let text = format!("grpc: error marshalling: {error}");
        Status::new(Code::Internal, text)
    };
    let mut out = Vec::with_capacity(message.len().saturating_mul(2));
    let message = DynamicMessage::decode(shape, message).map_err(|error| broken(&error))?;
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut out), &OPTIONS)
        .map_err(|error| broken(&error))?;
    Ok(out.into())
}

/// A body that is not what the path takes; the parser says where.
pub fn invalid(error: impl std::fmt::Display) -> Status {
    Status::new(Code::InvalidArgument, format!("json: {error}"))
}

#[cfg(test)]
mod tests {
    use mainstay_proto::etcdserverpb::{
        HashKvResponse, MemberListResponse, PutRequest, RangeRequest, RangeResponse,
        ResponseHeader, TxnRequest, request_op::Request,
    };
    use mainstay_proto::mvccpb::KeyValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::rights::find;

    fn shapes(path: &str) -> Shapes {
        Shapes::of(find(path).unwrap()).unwrap()
    }

    fn request<T: Message + Default>(path: &str, text: &str) -> Result<T, String> {
        let read = read(text.as_bytes(), shapes(path).request);
        let message = read.map_err(|status| status.message().to_owned())?;
        assert_eq!(message[0], 0);
        assert_eq!(message.len() - PREFIX_BYTES, usize::from(message[4]));
        Ok(T::decode(&message[PREFIX_BYTES..]).unwrap())
    }

    fn response(path: &str, message: &impl Message) -> Value {
        let text = write(message.encode_to_vec().into(), shapes(path).response).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    const RANGE: &str = "/etcdserverpb.KV/Range";
    const PUT: &str = "/etcdserverpb.KV/Put";

    #[test]
    fn names_and_numbers_are_read_in_either_form() {
        let wanted = RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            limit: 7,
            sort_order: 2,
            ..Default::default()
        };
        for text in [
            r#"{"key":"YQ==","range_end":"Yg==","limit":7,"sort_order":"DESCEND"}"#,
            r#"{"key":"YQ","rangeEnd":"Yg","limit":"7","sortOrder":2,"new":{"x":[1]}}"#,
            r#"{"key":"YQ==","rangeEnd":"Yg","limit":7.0,"sort_order":2,"sort_target":"NEWER"}"#,
            r#"{"key":"YQ==","rangeEnd":"Yg","limit":7,"sort_order":2,"revision":null}"#,
        ] {
            assert_eq!(
                request::<RangeRequest>(RANGE, text).unwrap(),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn both_alphabets_of_base64_are_read() {
        for text in ["+/8=", "+/8", "-_8=", "-_8"] {
            let read: PutRequest = request(PUT, &format!(r#"{{"value":"{text}"}}"#)).unwrap();
            assert_eq!(&read.value[..], [0xfb, 0xff], "{text}");
        }
    }

    #[test]
    fn what_is_no_such_message_is_refused() {
        for text in [
            "null",
            "[]",
            "7",
            r#"{"key":5}"#,
            r#"{"key":"Y"}"#,
            r#"{"key":"!!"}"#,
            r#"{"lease":"x"}"#,
            r#"{"lease":1.5}"#,
            r#"{"lease":9223372036854775808}"#,
            r#"{"prev_kv":"true"}"#,
            r#"{"key":"YQ==",}"#,
        ] {
            assert!(request::<PutRequest>(PUT, text).is_err(), "{text}");
        }
        let both = r#"{"success":[{"request_put":{},"requestRange":{}}]}"#;
        assert!(request::<TxnRequest>("/etcdserverpb.KV/Txn", both).is_err());
    }

    #[test]
    fn zeros_stay_out_and_large_numbers_are_text() {
        let message = RangeResponse {
            header: Some(ResponseHeader {
                cluster_id: u64::MAX,
                revision: 3,
                ..Default::default()
            }),
            kvs: vec![KeyValue {
                key: vec![0xfb, 0xff].into(),
                lease: -1,
                ..Default::default()
            }],
            ..Default::default()
        };
        let wanted = json!({
            "header": {"cluster_id": "18446744073709551615", "revision": "3"},
            "kvs": [{"key": "+/8=", "lease": "-1"}],
        });
        assert_eq!(response(RANGE, &message), wanted);
        let hash = HashKvResponse {
            hash: 5,
            compact_revision: 6,
            ..Default::default()
        };
        assert_eq!(
            response("/etcdserverpb.Maintenance/HashKV", &hash),
            json!({"hash": 5, "compact_revision": "6"})
        );
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let member = mainstay_proto::etcdserverpb::Member {
            id: 1,
            peer_ur_ls: vec!["http://a:1".to_owned()],
            ..Default::default()
        };
        let message = MemberListResponse {
            members: vec![member],
            ..Default::default()
        };
        assert_eq!(
            response("/etcdserverpb.Cluster/MemberList", &message),
            json!({"members": [{"ID": "1", "peerURLs": ["http://a:1"]}]})
        );
    }

    #[test]
    fn a_txn_as_deep_as_may_be_applied_is_read() {
        let mut text = r#"{"success":[{"request_put":{"key":"YQ=="}}]}"#.to_owned();
        for _ in 1..mainstay_apply::TXN_DEPTH_MAX {
            text = format!(r#"{{"success":[{{"request_txn":{text}}}]}}"#);
        }
        let mut txn: TxnRequest = request_long("/etcdserverpb.KV/Txn", &text).unwrap();
        let mut depth = 1;
        while let Some(Request::RequestTxn(inner)) = txn.success.pop().and_then(|op| op.request) {
            txn = inner;
            depth += 1;
        }
        assert_eq!(depth, mainstay_apply::TXN_DEPTH_MAX);
    }

    fn request_long<T: Message + Default>(path: &str, text: &str) -> Result<T, Status> {
        let message = read(text.as_bytes(), shapes(path).request)?;
        Ok(T::decode(&message[PREFIX_BYTES..]).unwrap())
    }
}
