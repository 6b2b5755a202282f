//! Cuts JSON objects off a text that arrives in pieces, one after the other with nothing or white
//! space between them.
//!
//! It looks only for where an object ends: at the brace that closes the first one, outside of
//! strings. Whether the object is good JSON is for its parser to say.

use bytes::{Bytes, BytesMut};
use tonic::{Code, Status};

use super::json::invalid;

/// A text and how far it has been looked at.
pub struct Cutter {
    text: BytesMut,
    /// Bytes of the text that have been looked at.
    seen: usize,
    /// Open braces and brackets.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The longest object taken, in bytes.
    limit: usize,
}

impl Cutter {
    pub fn new(limit: usize) -> Cutter {
        Cutter {
            text: BytesMut::new(),
            seen: 0,
            depth: 0,
            in_string: false,
            escaped: false,
            limit,
        }
    }

    pub fn push(&mut self, piece: &[u8]) {
        self.text.extend_from_slice(piece);
    }

    /// The next whole object; none until more of the text is there.
    pub fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.seen == 0 {
            let blank = self.text.iter().take_while(|byte| is_space(**byte)).count();
            let _ = self.text.split_to(blank);
            match self.text.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => {
                    let found = char::from(*other);
                    return Err(invalid(format!("expected an object, found {found:?}")));
                }
            }
        }
        while let Some(byte) = self.text.get(self.seen) {
            let byte = *byte;
            self.seen += 1;
            if self.closes(byte) {
                let object = self.text.split_to(self.seen).freeze();
                self.seen = 0;
                return Ok(Some(object));
            }
            if self.seen > self.limit {
                let limit = self.limit;
                let text = format!("mainstay: the request is larger than {limit} bytes of JSON");
                return Err(Status::new(Code::ResourceExhausted, text));
            }
        }
        Ok(None)
    }

    /// Takes one byte; whether the object ends with it.
    fn closes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// To be asked when no more comes: an object that has begun must have ended.
    pub fn end(&self) -> Result<(), Status> {
        if self.text.is_empty() {
            Ok(())
        } else {
            Err(invalid("the text ends inside an object"))
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]], limit: usize) -> Result<Vec<String>, Status> {
        let mut cutter = Cutter::new(limit);
        let mut objects = Vec::new();
        for piece in pieces {
            cutter.push(piece);
            while let Some(object) = cutter.next()? {
                objects.push(String::from_utf8_lossy(&object).into_owned());
            }
        }
        cutter.end()?;
        Ok(objects)
    }

    #[test]
    fn objects_survive_every_cut_of_the_pieces() {
        let text = br#" {"a":"}\"{"}{"b":[{},{"c":1}]}
            {} "#;
        let wanted = [r#"{"a":"}\"{"}"#, r#"{"b":[{},{"c":1}]}"#, "{}"];
        for at in 0..=text.len() {
            let (left, right) = text.split_at(at);
            assert_eq!(cut(&[left, right], 100).unwrap(), wanted, "cut at {at}");
        }
        assert!(cut(&[b" \r\n\t"], 10).unwrap().is_empty());
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["null", "[{}]", "{}x", "{\"a\":", "{\"a\":\"}"] {
            let refused = cut(&[text.as_bytes()], 100).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn an_object_without_end_is_cut_off() {
        let refused = cut(&[b"{\"a\":\"", &[b'x'; 50]], 40).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(cut(&[b"{\"a\":1}", b"{\"a\":1}"], 7).unwrap().len(), 2);
    }
}
