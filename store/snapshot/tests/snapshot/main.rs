//! Files of every kind, written and read back: equal where they are whole, refused where not.

mod damage;
mod pages;
mod store;
mod support;
