//! What an error looks like over HTTP.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tonic::{Code, Status};

/// "Client closed request": what nginx calls it, and grpc-gateway after it. No client sees it.
const CLIENT_CLOSED: u16 = 499;

/// The HTTP status that stands for a gRPC code, as grpc-gateway maps them.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => {
            StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of an answer that is an error.
pub fn body(status: &Status) -> Bytes {
    let code = status.code() as i32;
    let fault = json!({"code": code, "message": status.message()});
    fault.to_string().into()
}

/// The last line of a stream that ends with an error.
pub fn line(status: &Status) -> Bytes {
    let code = status.code() as i32;
    let fault = json!({"error": {"code": code, "message": status.message()}});
    format!("{fault}\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn codes_are_mapped_as_grpc_gateway_maps_them() {
        let wanted = [
            200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
        ];
        for (code, wanted) in wanted.iter().enumerate() {
            assert_eq!(
                status(Code::from(code as i32)).as_u16(),
                *wanted,
                "code {code}"
            );
        }
    }

    #[test]
    fn bodies_hold_code_and_text() {
        let empty_key = Status::from(Error::EmptyKey);
        assert_eq!(
            body(&empty_key),
            r#"{"code":3,"message":"etcdserver: key is not provided"}"#
        );
        assert_eq!(
            line(&empty_key),
            "{\"error\":{\"code\":3,\"message\":\"etcdserver: key is not provided\"}}\n"
        );
    }
}
