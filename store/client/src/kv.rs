//! Keys and values: requests that are put together field by field and sent by `.await`.
//!
//! ```no_run
//! use mainstay_client::{Client, Error, kv::{Compare, Op}};
//!
//! # #[tokio::main] async fn main() -> Result<(), Error> {
//! # let client = Client::builder().endpoint("127.0.0.1:2379").build()?;
//! // Reads with what a prefix holds, a page at a time, all of it at one revision.
//! let mut pages = client.get("orders/").prefix().limit(100).pages();
//! while let Some(page) = pages.next().await? {
//!     page.iter().for_each(|kv| println!("{:?}", kv.key));
//! }
//! // Takes one from the stock, unless somebody else was faster.
//! let stock = client.get("stock").await?;
//! let known = stock.first().map_or(0, |kv| kv.mod_revision);
//! let taken = client.txn()
//!     .when(Compare::unchanged_since("stock", known))
//!     .then(Op::put("stock", "41"))
//!     .then(Op::put("orders/7", "one"))
//!     .otherwise(Op::get("stock"))
//!     .await?;
//! println!("{}", taken.succeeded);
//! # Ok(())
//! # }
//! ```

mod compare;
mod delete;
mod get;
mod pages;
mod put;
mod txn;

pub use compare::Compare;
pub use delete::{Delete, Deleted};
pub use get::{Found, Get};
pub use pages::Pages;
pub use put::{Put, Stored};
pub use txn::{Op, Outcome, Txn, TxnOutcome};
