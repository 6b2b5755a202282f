//! A client of the load: one call at a time, each recorded.

use std::{sync::Arc, time::Duration};

use mainstay_model::{Operation, Outcome, Request};

use crate::{call, connection::Connection, recorder::Recorder};

/// After an error a client waits this long, or a dead member would be asked thousands of times a
/// second and the history be full of refusals.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(40);

/// One client with its own connections.
#[derive(Debug)]
pub struct Client {
    pub id: u32,
    pub recorder: Arc<Recorder>,
    /// One, if the client is pinned to a member.
    connections: Vec<Connection>,
    timeout: Duration,
    next: usize,
}

impl Client {
    #[must_use]
    pub fn new(
        id: u32,
        recorder: Arc<Recorder>,
        connections: Vec<Connection>,
        timeout: Duration,
    ) -> Client {
        Client {
            id,
            recorder,
            connections,
            timeout,
            next: id as usize,
        }
    }

    /// Sends one request and records what became of it.
    pub async fn call(&mut self, request: Request) -> Outcome {
        let outcome = self.call_at_once(request).await;
        if !matches!(outcome, Outcome::Ok(_)) {
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
        outcome
    }

    /// The same without the pause after an error.
    pub async fn call_at_once(&mut self, request: Request) -> Outcome {
        self.next += 1;
        let connection = &self.connections[self.next % self.connections.len()];
        let call = self.recorder.now();
        let outcome = call::execute(connection, &request, self.timeout).await;
        self.recorder.operation(Operation {
            client: self.id,
            member: connection.member,
            call,
            ret: self.recorder.now(),
            request,
            outcome: outcome.clone(),
        });
        outcome
    }
}
