//! A client put together field by field: TLS with a certificate of its own, a user, a namespace and
//! a deadline. `Client::from_env` takes endpoints, TLS and user from the same variables in one line.

use std::env::var;
use std::time::Duration;

use mainstay_client::{Client, Error, TlsFiles};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // All members: when one does not answer the client goes to the next.
    let endpoints = var("MAINSTAY_ENDPOINTS").unwrap_or("http://127.0.0.1:2379".to_owned());
    let mut builder = Client::builder()
        .endpoints(endpoints.split(','))
        .namespace("examples/client/")
        .deadline(Duration::from_secs(5));
    if let Ok(authorities) = var("MAINSTAY_CACERT") {
        let (certificate, key) = (var("MAINSTAY_CERT"), var("MAINSTAY_KEY"));
        // Read again for each connection, so that they may be rotated under the client.
        builder = builder.tls(TlsFiles {
            trusted_ca: Some(authorities.into()),
            pair: certificate
                .ok()
                .zip(key.ok())
                .map(|(certificate, key)| (certificate.into(), key.into())),
            ..TlsFiles::default()
        });
    }
    if let (Ok(name), Ok(password)) = (var("MAINSTAY_USER"), var("MAINSTAY_PASSWORD")) {
        builder = builder.user(name, password);
    }
    let client = builder.build()?;

    client.put("greeting", "hello").await?;
    let found = client.get("greeting").await?;
    let greeting = found.first().map(|kv| &kv.value[..]);
    println!("{:?}", greeting.map(String::from_utf8_lossy));
    assert_eq!(greeting, Some(&b"hello"[..]));
    client.delete("greeting").await?;
    Ok(())
}
