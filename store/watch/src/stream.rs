use bytes::Bytes;
use mainstay_proto::etcdserverpb::WatchCreateRequest;

pub type Frame = Bytes;

#[derive(Debug, thiserror::Error)]
#[error("the watch stream has ended")]
pub struct StreamEnded;

#[derive(Clone)]
pub struct Control;

#[allow(unused_variables)]
impl Control {
    pub async fn create(&self, request: WatchCreateRequest) -> Result<(), StreamEnded> {
        todo!()
    }
    pub async fn cancel(&self, id: i64) -> Result<(), StreamEnded> {
        todo!()
    }
    pub async fn progress(&self) -> Result<(), StreamEnded> {
        todo!()
    }
    pub async fn refuse(&self, reason: String) -> Result<(), StreamEnded> {
        todo!()
    }
}

pub struct Stream;

impl Stream {
    pub async fn next(&mut self) -> Option<Frame> {
        todo!()
    }
}
