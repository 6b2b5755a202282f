//! Counts calls: started, messages each way, and how each ended.
//!
//! The counters of a method are found by its number, so a request hashes no label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tonic::{Code, Status};

use crate::error::CODE_NAMES;
use crate::metrics::Histogram;
use crate::spans::Trace;

/// Counters of every method, and of all bytes of messages.
pub struct Calls {
    methods: Vec<MethodCounters>,
    timed: bool,
    pub received_bytes: AtomicU64,
    pub sent_bytes: AtomicU64,
}

/// Counters of one method.
#[derive(Default)]
pub struct MethodCounters {
    pub started: AtomicU64,
    pub received: AtomicU64,
    pub sent: AtomicU64,
    /// By the number of the code.
    pub handled: [AtomicU64; CODE_NAMES.len()],
    /// How long calls took, if that is asked for.
    pub seconds: Option<Histogram>,
}

impl Calls {
    /// `timed` measures every call too.
    pub fn new(methods: usize, timed: bool) -> Arc<Calls> {
        let counters = |_| MethodCounters {
            seconds: timed.then(Histogram::of_requests),
            ..Default::default()
        };
        Arc::new(Calls {
            methods: (0..methods).map(counters).collect(),
            timed,
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// Counts a call of the method with this number and follows it to its end.
    pub fn start(self: &Arc<Self>, method: usize) -> Call {
        let call = Call {
            calls: self.clone(),
            method,
            started: self.timed.then(Instant::now),
            trace: None,
            ended: false,
        };
        call.count(|counters| &counters.started);
        call
    }

    /// The counters of a method.
    pub fn method(&self, method: usize) -> Option<&MethodCounters> {
        self.methods.get(method)
    }
}

/// One call under way. Dropped before its end, it was canceled: the client has gone.
pub struct Call {
    calls: Arc<Calls>,
    method: usize,
    /// Set where calls are measured.
    started: Option<Instant>,
    /// Set where the call is traced.
    trace: Option<Trace>,
    ended: bool,
}

impl Call {
    /// Has the call end this span with itself.
    pub fn traced(mut self, trace: Option<Trace>) -> Call {
        self.trace = trace;
        self
    }

    /// The call's span, if it has one.
    pub fn trace(&self) -> Option<Trace> {
        self.trace.clone()
    }

    /// Counts what comes in, apart from the call's end.
    pub fn tally(&self) -> Tally {
        Tally {
            calls: self.calls.clone(),
            method: self.method,
        }
    }

    /// A message of so many bytes goes out.
    pub fn sent(&self, bytes: usize) {
        self.calls.sent_bytes.fetch_add(bytes as u64, Relaxed);
        self.count(|counters| &counters.sent);
    }

    /// The call has ended; only the first end counts.
    pub fn end(&mut self, code: Code) {
        self.end_with(&Status::new(code, ""));
    }

    /// The same with what the client is told.
    pub fn end_with(&mut self, status: &Status) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(trace) = self.trace.take() {
            trace.end(status);
        }
        let Some(counters) = self.calls.method(self.method) else {
            return;
        };
        if let Some(counter) = counters.handled.get(status.code() as usize) {
            counter.fetch_add(1, Relaxed);
        }
        if let (Some(started), Some(seconds)) = (self.started, &counters.seconds) {
            seconds.observe(started.elapsed());
        }
    }

    fn count(&self, which: impl Fn(&MethodCounters) -> &AtomicU64) {
        if let Some(counters) = self.calls.method(self.method) {
            which(counters).fetch_add(1, Relaxed);
        }
    }
}

/// Counts the messages of one call that come in.
pub struct Tally {
    calls: Arc<Calls>,
    method: usize,
}

impl Tally {
    /// A message of so many bytes has come in.
    pub fn received(&self, bytes: usize) {
        self.calls.received_bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(counters) = self.calls.method(self.method) {
            counters.received.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_ends_once() {
        let calls = Calls::new(2, true);
        let mut call = calls.start(1);
        call.tally().received(10);
        call.sent(20);
        call.end(Code::NotFound);
        call.end(Code::Ok);
        drop(call);
        drop(calls.start(1));
        let counters = calls.method(1).unwrap();
        assert_eq!(counters.started.load(Relaxed), 2);
        assert_eq!(counters.handled[Code::NotFound as usize].load(Relaxed), 1);
        assert_eq!(counters.handled[Code::Cancelled as usize].load(Relaxed), 1);
        assert_eq!(counters.handled[Code::Ok as usize].load(Relaxed), 0);
        assert_eq!(counters.seconds.as_ref().unwrap().snapshot().count, 2);
        assert_eq!(calls.sent_bytes.load(Relaxed), 20);
    }
}
