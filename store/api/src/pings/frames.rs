//! The heads of HTTP/2 frames in bytes that pass by, however they are cut (RFC 9113, section 4.1).

const HEAD_BYTES: usize = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
/// The highest bit of a stream's number is reserved.
const STREAM_MASK: u32 = 0x7fff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    Headers,
    Reset,
    Ping,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn is_ack(self) -> bool {
        self.flags & ACK != 0
    }

    pub fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Frames {
    /// What has come of the next head.
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Bytes that follow before it.
    rest: usize,
}

impl Frames {
    /// Frames that begin behind so many bytes.
    pub fn after(bytes: usize) -> Frames {
        Frames {
            head: [0; HEAD_BYTES],
            have: 0,
            rest: bytes,
        }
    }

    /// Whether all that has passed were whole frames.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.rest == 0
    }

    /// Tells the heads in these bytes.
    pub fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Head)) {
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            let missing = HEAD_BYTES - self.have;
            let (part, left) = bytes.split_at(missing.min(bytes.len()));
            for (to, from) in self.head.iter_mut().skip(self.have).zip(part) {
                *to = *from;
            }
            self.have += part.len();
            bytes = left;
            if self.have == HEAD_BYTES {
                tell(self.complete());
            }
        }
    }

    fn complete(&mut self) -> Head {
        let [a, b, c, kind, flags, d, e, f, g] = self.head;
        self.have = 0;
        self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::Reset,
            6 => Kind::Ping,
            _ => Kind::Other,
        };
        Head {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & STREAM_MASK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let bytes =
            b"xx\0\0\x03\x00\x01\x80\0\0\x05abc\0\0\0\x01\x04\0\0\0\x07\0\0\x01\x06\x01\0\0\0\0z";
        let mut whole = Vec::new();
        let mut frames = Frames::after(2);
        frames.pass(bytes, |head| whole.push(head));
        assert!(frames.is_between());
        let kinds: Vec<(Kind, u32)> = whole.iter().map(|head| (head.kind, head.stream)).collect();
        let expected = [(Kind::Data, 5), (Kind::Headers, 7), (Kind::Ping, 0)];
        assert_eq!(kinds, expected);
        assert!(whole[0].ends_stream() && !whole[1].ends_stream() && whole[2].is_ack());
        for size in 1..bytes.len() {
            let (mut frames, mut cut) = (Frames::after(2), Vec::new());
            for piece in bytes.chunks(size) {
                frames.pass(piece, |head| cut.push(head));
            }
            assert_eq!(cut, whole, "in pieces of {size}");
        }
        let mut frames = Frames::after(0);
        frames.pass(&bytes[2..6], |_| {});
        assert!(!frames.is_between());
    }
}
