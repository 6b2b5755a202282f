//! `check`: asks an operator whether it is ready. `helm test` runs it from the operator's own image, which
//! holds no other program that could ask.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use http::{StatusCode, Uri};
use mainstay_operator_member::plain;
use mainstay_transport::Resolver;
use tokio::time::{Instant, sleep};

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What is asked, e.g. `http://mainstay-operator.mainstay-system.svc:8080/readyz`.
    #[arg(long)]
    url: Uri,
    /// Seconds for which it is asked again until it answers with 200.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=3600))]
    timeout: u64,
}

/// An error, which ends the process with code 1, tells the last answer.
pub async fn run(arguments: &Arguments) -> Result<()> {
    let begin = Instant::now();
    loop {
        let Err(error) = ask(&arguments.url).await else {
            tracing::info!(url = %arguments.url, "ready");
            return Ok(());
        };
        if begin.elapsed() >= Duration::from_secs(arguments.timeout) {
            return Err(error.context(format!("{} is not ready", arguments.url)));
        }
        sleep(AGAIN).await;
    }
}

async fn ask(url: &Uri) -> Result<()> {
    if url.scheme_str() != Some("http") {
        bail!("only http:// can be asked");
    }
    let host = url.host().context("the URL names no host")?;
    // An address of IPv6 stands in brackets in a URL.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = Resolver::system()?.lookup(host).await?;
    let address = addresses
        .first()
        .with_context(|| format!("{host} has no address"))?;
    let socket = (*address, url.port_u16().unwrap_or(80)).into();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let (status, body) = plain::get(socket, path).await?;
    if status != StatusCode::OK {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Gives each caller the next answer.
    async fn serve(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                let head = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn arguments(port: u16, timeout: u64) -> Arguments {
        let url = format!("http://127.0.0.1:{port}/readyz").parse().unwrap();
        Arguments { url, timeout }
    }

    #[tokio::test]
    async fn it_waits_until_the_answer_is_yes() {
        let port = serve(&["503 Service Unavailable", "200 OK"]).await;
        run(&arguments(port, 30)).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_no_is_told() {
        let port = serve(&["503 Service Unavailable"]).await;
        let error = run(&arguments(port, 0)).await.unwrap_err();
        assert!(format!("{error:#}").contains("503"), "{error:#}");
        let nobody = arguments(1, 0);
        assert!(run(&nobody).await.is_err());
        let secure = Arguments {
            url: "https://127.0.0.1/readyz".parse().unwrap(),
            timeout: 0,
        };
        assert!(run(&secure).await.is_err());
    }
}
