use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use mainstay_proto::etcdserverpb as pb;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::raw::Untouched;

/// Longest wait for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// How a call ended: what a client can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Let,
    /// Code and text of the status, or of a watch that is cancelled as it begins.
    Refused(String, String),
}

impl Ended {
    pub fn text(&self) -> &str {
        match self {
            Ended::Let => "",
            Ended::Refused(_, text) => text,
        }
    }

    /// Refused because of who asks.
    pub fn is_of_rights(&self) -> bool {
        let texts = [
            "permission denied",
            "user name is empty",
            "invalid auth token",
        ];
        texts.iter().any(|text| self.text().contains(text))
    }
}

/// A call as it goes out, whatever its shape.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: &'static str,
    body: Bytes,
}

impl Call {
    pub fn new(path: &'static str, message: &impl Message) -> Call {
        let body = message.encode_to_vec().into();
        Call { path, body }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub ended: Ended,
    /// The first message.
    pub body: Bytes,
}

/// Makes a call with one message and looks at the first that comes back.
pub async fn call(channel: &Channel, token: Option<&str>, call: &Call) -> Result<Answer> {
    let made = tokio::time::timeout(ANSWER_WAIT, make(channel, token, call)).await;
    let made = made.with_context(|| format!("{} is not answered", call.path))?;
    let refused = |status: Status| {
        let code = format!("{:?}", status.code());
        Ended::Refused(code, status.message().to_owned())
    };
    Ok(match made {
        Ok(body) => Answer {
            ended: watch_refused(call, &body).unwrap_or(Ended::Let),
            body,
        },
        Err(status) => Answer {
            ended: refused(status),
            body: Bytes::new(),
        },
    })
}

async fn make(channel: &Channel, token: Option<&str>, call: &Call) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let ready = client.ready().await;
    ready.map_err(|error| Status::unavailable(format!("client: {error}")))?;
    let mut request = Request::new(tokio_stream::once(call.body.clone()));
    if let Some(token) = token {
        let value = token.parse();
        let value = value.map_err(|_| Status::internal("client: a token that is no header"))?;
        request.metadata_mut().insert("token", value);
    }
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(call.path);
    let mut answers = client
        .streaming(request, path, Untouched)
        .await?
        .into_inner();
    Ok(answers.message().await?.unwrap_or_default())
}

fn watch_refused(call: &Call, body: &Bytes) -> Option<Ended> {
    if call.path != "/etcdserverpb.Watch/Watch" {
        return None;
    }
    let response = pb::WatchResponse::decode(body.clone()).ok()?;
    let reason = response.cancel_reason;
    response
        .canceled
        .then(|| Ended::Refused("watch".to_owned(), reason))
}

/// Logs in.
pub async fn log_in(channel: &Channel, name: &str, password: &str) -> Result<String> {
    let answer = call(channel, None, &authenticate(name, password)).await?;
    if answer.ended != Ended::Let {
        bail!("{name} is not let in: {:?}", answer.ended);
    }
    Ok(pb::AuthenticateResponse::decode(answer.body)?.token)
}

pub fn authenticate(name: &str, password: &str) -> Call {
    let request = pb::AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    Call::new("/etcdserverpb.Auth/Authenticate", &request)
}

pub fn range(key: &str, end: &str) -> Call {
    let request = pb::RangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..Default::default()
    };
    Call::new("/etcdserverpb.KV/Range", &request)
}

pub fn put(key: &str) -> Call {
    Call::new("/etcdserverpb.KV/Put", &put_request(key))
}

pub fn put_request(key: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.to_owned().into(),
        value: "value".into(),
        ..Default::default()
    }
}

pub fn delete(key: &str, end: &str) -> Call {
    let request = pb::DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..Default::default()
    };
    Call::new("/etcdserverpb.KV/DeleteRange", &request)
}

pub fn txn(request: &pb::TxnRequest) -> Call {
    Call::new("/etcdserverpb.KV/Txn", request)
}

/// A txn that does this if its compares hold.
pub fn txn_of(request: pb::request_op::Request) -> pb::TxnRequest {
    pb::TxnRequest {
        success: vec![pb::RequestOp {
            request: Some(request),
        }],
        ..Default::default()
    }
}

pub fn watch(key: &str, end: &str) -> Call {
    let create = pb::WatchCreateRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..Default::default()
    };
    let request = pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
    };
    Call::new("/etcdserverpb.Watch/Watch", &request)
}
