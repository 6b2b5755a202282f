//! The signals that ask a process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM, which supervisors and the kubelet send, or SIGINT, which a terminal sends at
/// ctrl-c.
pub(super) async fn told() {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminated), Ok(mut interrupted)) = signals else {
        // They end the process as they do any that does not listen.
        tracing::error!("signals cannot be received: a stop will not be graceful");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminated.recv() => tracing::info!("stopping at SIGTERM"),
        _ = interrupted.recv() => tracing::info!("stopping at SIGINT"),
    }
}
