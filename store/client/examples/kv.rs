//! Keys, transactions and pages: of two who want the last piece in stock one gets it.

use mainstay_client::kv::{Compare, Op};
use mainstay_client::{Client, Error};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // Every key below lies under this prefix.
    let shop = Client::from_env()?.namespaced("examples/kv/");

    shop.put("stock", "1").await?;
    let stock = shop.get("stock").await?;
    let known = stock.first().map_or(0, |kv| kv.mod_revision);

    // Both have seen one piece. Whoever comes second finds that the key has changed since.
    let buy = |order: &str| {
        shop.txn()
            .when(Compare::unchanged_since("stock", known))
            .then(Op::put("stock", "0"))
            .then(Op::put(order, "one piece"))
            .otherwise(Op::get("stock"))
    };
    let (first, second) = (buy("orders/1").await?, buy("orders/2").await?);
    assert!(first.succeeded && !second.succeeded);
    let left = second.found().and_then(|found| found.first());
    println!("left: {:?}", left.map(|kv| &kv.value));

    // All that begins with a prefix, a page at a time, all of it at one revision.
    for order in 2..6 {
        shop.put(format!("orders/{order}"), "another").await?;
    }
    let mut pages = shop.get("orders/").prefix().limit(2).pages();
    let mut orders = Vec::new();
    while let Some(page) = pages.next().await? {
        println!("{} orders", page.len());
        orders.extend(page.into_iter().map(|kv| kv.key));
    }
    assert_eq!(orders.len(), 5);

    let deleted = shop.delete("").prefix().await?;
    println!("{} keys deleted", deleted.count);
    assert_eq!(shop.get("").prefix().count_only().await?.count, 0);
    Ok(())
}
