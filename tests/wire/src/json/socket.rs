use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame};

use super::{Gateway, Gateways, normal, now};
use crate::door::Stream;
use crate::options::Options;

const FRAME_WAIT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Opens a websocket with headers beside those of the handshake.
async fn open(side: &Gateway, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket> {
    let url = format!("ws://{}{path}", side.door.host());
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse()?);
    }
    let handshake = tokio_tungstenite::client_async(request, side.door.open().await?);
    let (socket, _) = tokio::time::timeout(FRAME_WAIT, handshake)
        .await
        .context("the handshake hangs")??;
    Ok(socket)
}

/// The next text frame in comparable form, none when the other side closes.
async fn frame(socket: &mut Socket, side: &Gateway, path: &str) -> Result<Option<Value>> {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(other)) => bail!("a frame that is no text: {other:?}"),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    };
    let text = tokio::time::timeout(FRAME_WAIT, next).await;
    let Some(text) = text.context("no frame has come")?? else {
        return Ok(None);
    };
    let mut value = serde_json::from_str(text.as_str())?;
    normal::normalise(path, &mut value, &side.ids);
    Ok(Some(value))
}

/// A socket to each side, under the same frames.
struct Sockets<'a> {
    gateways: &'a Gateways,
    path: &'static str,
    sockets: Vec<Socket>,
}

impl<'a> Sockets<'a> {
    async fn open(gateways: &'a Gateways, path: &'static str) -> Result<Sockets<'a>> {
        let mut sockets = Vec::new();
        for side in &gateways.sides {
            sockets.push(open(side, path, &[]).await?);
        }
        Ok(Sockets {
            gateways,
            path,
            sockets,
        })
    }

    async fn send(&mut self, object: &Value) -> Result<()> {
        for socket in &mut self.sockets {
            socket.send(Message::text(object.to_string())).await?;
        }
        Ok(())
    }

    async fn frame(&mut self) -> Result<Value> {
        let mut frames = Vec::new();
        for (socket, side) in self.sockets.iter_mut().zip(&self.gateways.sides) {
            let frame = frame(socket, side, self.path).await;
            frames.push(frame.with_context(|| side.cluster.label)?);
        }
        if frames.first() != frames.get(1) {
            bail!(
                "{}\n  reference: {:?}\n  subject:   {:?}",
                self.path,
                frames[0],
                frames[1]
            );
        }
        frames.remove(0).context("the socket is closed")
    }
}

pub async fn run(options: &Options) -> Result<Instant> {
    let since = now();
    let mut gateways = Gateways::start(options, &[]).await?;
    gateways
        .post("/v3/lease/grant", &json!({"TTL": 500, "ID": 41}))
        .await?;
    watch(&gateways).await.context("watch")?;
    keep_alive(&gateways).await.context("keepalive")?;
    closing(&gateways).await.context("closing")?;
    subject_only(&gateways).await.context("rules of our own")?;
    Ok(since)
}

/// Requests and events in turn on one socket.
async fn watch(gateways: &Gateways) -> Result<()> {
    let mut sockets = Sockets::open(gateways, "/v3/watch").await?;
    sockets
        .send(&json!({"create_request": {"key": "cw==", "range_end": "dA==", "prev_kv": true}}))
        .await?;
    if sockets.frame().await?["result"]["created"] != true {
        bail!("a watch is created first");
    }
    for value in ["b25l", "dHdv"] {
        let put = json!({"key": "cw==", "value": value}).to_string();
        for side in &gateways.sides {
            side.post("/v3/kv/put", &put).await?;
        }
        let event = sockets.frame().await?;
        if event["result"]["events"][0]["kv"]["value"] != value {
            bail!("the event of the put comes, not {event}");
        }
    }
    sockets.send(&json!({"progress_request": {}})).await?;
    if sockets.frame().await?["result"]["watch_id"] != "-1" {
        bail!("progress is told to all watches");
    }
    sockets
        .send(&json!({"cancelRequest": {"watchId": 0}}))
        .await?;
    if sockets.frame().await?["result"]["canceled"] != true {
        bail!("a cancelled watch says so");
    }
    Ok(())
}

async fn keep_alive(gateways: &Gateways) -> Result<()> {
    let mut sockets = Sockets::open(gateways, "/v3/lease/keepalive").await?;
    for (id, ttl) in [
        ("41", json!("500")),
        ("42", Value::Null),
        ("41", json!("500")),
    ] {
        sockets.send(&json!({"ID": id})).await?;
        let beat = sockets.frame().await?;
        if beat["result"]["TTL"] != ttl {
            bail!("renewing {id}: {beat}");
        }
    }
    Ok(())
}

/// A client that closes its socket ends its watch: the number of streams goes back.
async fn closing(gateways: &Gateways) -> Result<()> {
    let subject = &gateways.sides[1];
    let before = watch_streams(subject).await?;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = open(subject, "/v3/watch", &[]).await?;
        let create = json!({"create_request": {"key": "cw=="}});
        socket.send(Message::text(create.to_string())).await?;
        frame(&mut socket, subject, "/v3/watch").await?;
        sockets.push(socket);
    }
    let open = watch_streams(subject).await?;
    if open != before + 5 {
        bail!("{open} watch streams, five more than {before} are open");
    }
    // Some say goodbye, the others just go.
    for (at, mut socket) in sockets.into_iter().enumerate() {
        if at % 2 == 0 {
            socket.close(None::<CloseFrame>).await?;
        }
    }
    let deadline = Instant::now() + FRAME_WAIT;
    while watch_streams(subject).await? != before {
        if Instant::now() > deadline {
            bail!("the watches of closed sockets live on");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn watch_streams(side: &Gateway) -> Result<u64> {
    let page = crate::plain_http::call(&side.door, "GET", "/metrics")
        .await?
        .body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("etcd_debugging_mvcc_watch_stream_total "))
        .context("no number of watch streams")?;
    Ok(line.trim().parse()?)
}

/// What the server under test does where etcd's proxy does nothing of the kind: errors come as
/// frames, a unary path answers, and the token may come as a subprotocol.
async fn subject_only(gateways: &Gateways) -> Result<()> {
    let subject = &gateways.sides[1];
    let mut socket = open(subject, "/v3/watch", &[]).await?;
    socket
        .send(Message::text("{\"create_request\":{\"key\":\"5\"}}"))
        .await?;
    let told = frame(&mut socket, subject, "/v3/watch")
        .await?
        .context("an error")?;
    if told["error"]["code"] != 3 {
        bail!("a bad frame is told: {told}");
    }
    if frame(&mut socket, subject, "/v3/watch").await?.is_some() {
        bail!("a bad frame ends the socket");
    }
    let mut socket = open(subject, "/v3/kv/range", &[]).await?;
    socket.send(Message::text("{\"key\":\"cw==\"}")).await?;
    let told = frame(&mut socket, subject, "/v3/kv/range")
        .await?
        .context("an answer")?;
    if told["count"] != "1" {
        bail!("a unary path answers once: {told}");
    }
    let bearer = [("Sec-WebSocket-Protocol", "Bearer, none")];
    let mut socket = open(subject, "/v3/lease/keepalive", &bearer).await?;
    socket.send(Message::text("{\"ID\":41}")).await?;
    frame(&mut socket, subject, "/v3/lease/keepalive")
        .await?
        .context("a beat")?;
    Ok(())
}
