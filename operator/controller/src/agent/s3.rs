//! S3 and what speaks like it, over connections of our own: names resolve and certificates are
//! verified as everywhere else in Mainstay, and no second HTTP stack comes along.
//!
//! Buckets are part of the path and not of the host's name, which every store takes. A key `ca.crt`
//! in the Secret takes the place of the system's authorities.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Request, Uri, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mainstay_operator_api::backup::S3Destination;
use mainstay_transport::{ClientFiles, ClientTls, Resolver};
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, ObjectStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::text;

/// Longest wait for a connection, and for the head of an answer after the request is sent.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(120);

/// `credentials` is the folder of the mounted Secret.
pub fn open(wanted: &S3Destination, credentials: &Path) -> Result<Arc<dyn ObjectStore>> {
    let ca = credentials.join("ca.crt");
    let files = ClientFiles {
        trusted_ca: ca.exists().then_some(ca),
        ..ClientFiles::default()
    };
    let connector = Connector {
        tls: ClientTls::open(&files, &[b"http/1.1"])?,
        resolver: Resolver::system()?,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&wanted.bucket)
        .with_region(wanted.region.as_deref().unwrap_or("us-east-1"))
        .with_access_key_id(text(&credentials.join(S3Destination::ACCESS_KEY_ID))?)
        .with_secret_access_key(text(&credentials.join(S3Destination::SECRET_ACCESS_KEY))?)
        // One object is deleted at a time, and not every store knows the other call.
        .with_disable_bulk_delete(true)
        .with_http_connector(connector);
    if let Some(endpoint) = &wanted.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    let store = builder.build().context("the S3 destination is unusable")?;
    Ok(Arc::new(store))
}

#[derive(Clone)]
struct Connector {
    tls: ClientTls,
    resolver: Resolver,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Boxed<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let failed = |kind| move |error| HttpError::new_boxed(kind, error);
        let dialled = match timeout(CONNECT, self.dial(request.uri())).await {
            Ok(dialled) => dialled,
            Err(_) => Err("the connection took too long".into()),
        };
        let stream = dialled.map_err(failed(HttpErrorKind::Connect))?;
        match timeout(ANSWER, send(stream, request)).await {
            Ok(answer) => answer.map_err(failed(HttpErrorKind::Request)),
            Err(_) => Err(HttpError::new_boxed(
                HttpErrorKind::Timeout,
                "no answer came".into(),
            )),
        }
    }
}

impl Connector {
    async fn dial(&self, uri: &Uri) -> Boxed<Box<dyn Stream>> {
        let host = uri.host().ok_or("the URL names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut reason = format!("{host} has no address").into();
        for address in self.resolver.lookup(host).await? {
            match TcpStream::connect((address, port)).await {
                Ok(stream) if secure => return Ok(Box::new(self.tls.connect(stream, host).await?)),
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => reason = error.into(),
            }
        }
        Err(reason)
    }
}

async fn send(stream: Box<dyn Stream>, request: HttpRequest) -> Boxed<HttpResponse> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().map(ToString::to_string);
    if let Some(authority) = authority
        && !head.headers.contains_key(header::HOST)
    {
        head.headers.insert(header::HOST, authority.parse()?);
    }
    // In HTTP/1.1 a server that is no proxy is asked for the path alone.
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse()?;
    let response = sender.send_request(Request::from_parts(head, body)).await?;
    let body = |body: hyper::body::Incoming| {
        let failed = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        HttpResponseBody::new(body.map_err(failed))
    };
    Ok(response.map(body))
}

/// What a connection is to HTTP, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::path::Path as Key;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn secret() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("accessKeyID"), "AKEXAMPLE\n").unwrap();
        std::fs::write(dir.path().join("secretAccessKey"), "secret").unwrap();
        dir
    }

    fn wanted(endpoint: String) -> S3Destination {
        S3Destination {
            bucket: "backups".to_owned(),
            prefix: None,
            endpoint: Some(endpoint),
            region: Some("eu-central-1".to_owned()),
            credentials_secret: "bucket".to_owned(),
        }
    }

    /// Answers one request as a store does that has taken an object, and returns its head.
    async fn answer(listener: TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut head, mut piece) = (Vec::new(), [0; 1024]);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the request is cut off");
            head.extend_from_slice(&piece[..read]);
        }
        let answer = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn requests_are_signed_and_name_the_bucket_in_their_path() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let secret = secret();
        let store = open(&wanted(format!("http://{address}")), secret.path()).unwrap();
        let server = tokio::spawn(answer(listener));
        store.put(&Key::from("db/a.db"), "x".into()).await.unwrap();
        let head = server.await.unwrap();
        assert!(
            head.starts_with("PUT /backups/db/a.db HTTP/1.1\r\n"),
            "{head}"
        );
        let head = head.to_lowercase();
        assert!(head.contains(&format!("\r\nhost: {address}\r\n")), "{head}");
        let signed = "authorization: aws4-hmac-sha256 credential=akexample/";
        assert!(
            head.contains(signed) && head.contains("/eu-central-1/s3/"),
            "{head}"
        );
    }

    #[test]
    fn credentials_that_are_missing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = open(&wanted("https://s3.example".to_owned()), dir.path()).unwrap_err();
        assert!(format!("{error:#}").contains("accessKeyID"), "{error:#}");
    }

    #[test]
    fn a_bundle_that_is_none_is_refused() {
        let secret = secret();
        std::fs::write(secret.path().join("ca.crt"), "no certificate").unwrap();
        let error = open(&wanted("https://s3.example".to_owned()), secret.path()).unwrap_err();
        assert!(format!("{error:#}").contains("ca.crt"), "{error:#}");
    }
}
