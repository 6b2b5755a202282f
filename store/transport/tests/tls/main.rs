//! Handshakes between two sides whose files a CA of the test has made: who is let in, who is not
//! and for what reason, and what a changed file does to connections that are open.

mod authority;
mod matrix;
mod rotation;
