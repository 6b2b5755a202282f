//! openraft's network over the peer connections: one `Network` a target and purpose.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use mainstay_proto::peer;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};

use crate::append_stream;
use crate::codec;
use crate::peer::PeerError;
use crate::peer::call::Caller;
use crate::peer::frame::Kind;
use crate::peers::Peers;
use crate::snapshot::{SnapshotData, pins::Pins, send::send_snapshot};
use tokio::time::Instant;

use crate::types::{AppendRequest, AppendResponse, Peer, Snapshot, TypeConfig, Vote};

/// Votes and transfers wait this long at most; openraft gives no limit worth having for them.
const VOTE_TIMEOUT: Duration = Duration::from_secs(2);

pub struct Factory {
    pub peers: Arc<Peers>,
    pub pins: Arc<Pins>,
}

/// What one openraft task uses to reach one member.
pub struct Network {
    caller: Caller,
    pins: Arc<Pins>,
    /// Heartbeats must not wait behind a pile of entries, so they use the control connection.
    pipelined: bool,
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Network {
        Network {
            caller: self.peers.caller(target, node),
            pins: self.pins.clone(),
            pipelined: true,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> Network {
        Network {
            caller: self.peers.caller(target, node),
            pins: self.pins.clone(),
            pipelined: false,
        }
    }
}

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

impl RaftNetworkV2<TypeConfig> for Network {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendRequest,
        option: RPCOption,
    ) -> RpcResult<AppendResponse> {
        let question = codec::append_out(&request);
        let sent = Instant::now();
        let answer: peer::AppendResponse = self
            .caller
            .call(Kind::Append, &question, option.soft_ttl())
            .await
            .map_err(rpc_error)?;
        match codec::append_response_in(answer) {
            Ok(Ok(response)) => {
                if !matches!(response, AppendResponse::HigherVote(_)) {
                    self.caller.traffic().acked(sent);
                }
                Ok(response)
            }
            Ok(Err(reason)) => Err(Unreachable::from_string(reason).into()),
            Err(error) => Err(NetworkError::new(&error).into()),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        if self.pipelined {
            let target = self.caller.target().clone();
            let traffic = self.caller.traffic().clone();
            Box::pin(append_stream::open(target, traffic, input, option))
        } else {
            stream_append_sequential(self, input, option)
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask_vote(Kind::Vote, request).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask_vote(Kind::PreVote, request).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let target = self.caller.target().clone();
        let traffic = self.caller.traffic().clone();
        let pins = self.pins.clone();
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send_snapshot(target, traffic, &pins, vote, snapshot) => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => {
                    tracing::warn!(%error, "snapshot was not delivered");
                    Err(Unreachable::from_string(error).into())
                }
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        let question = peer::TransferRequest {
            from: Some(codec::vote_out(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().map(codec::log_id_out),
        };
        let _: peer::Empty = self
            .caller
            .call(Kind::Transfer, &question, VOTE_TIMEOUT)
            .await
            .map_err(rpc_error)?;
        Ok(Ok(()))
    }
}

impl Network {
    async fn ask_vote(
        &mut self,
        kind: Kind,
        request: VoteRequest<TypeConfig>,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        let question = peer::VoteRequest {
            vote: Some(codec::vote_out(&request.vote)),
            last: request.last_log_id.as_ref().map(codec::log_id_out),
            transfer: request.leadership_transfer,
        };
        let answer: peer::VoteResponse = self
            .caller
            .call(kind, &question, VOTE_TIMEOUT)
            .await
            .map_err(rpc_error)?;
        if !answer.reason.is_empty() {
            return Err(Unreachable::from_string(answer.reason).into());
        }
        let vote = codec::vote_in(answer.vote).map_err(|error| NetworkError::new(&error))?;
        Ok(VoteResponse {
            vote,
            vote_granted: answer.granted,
            last_log_id: answer.last.map(codec::log_id_in),
        })
    }
}

/// Every failure of the connection is "unreachable" to openraft: it then waits before the next
/// try, where a "network" error would have it spin.
pub fn rpc_error(error: PeerError) -> RPCError<TypeConfig> {
    Unreachable::new(&error).into()
}
