//! Users and roles: one that may read and write what lies under a prefix, and nothing else. Where
//! users are asked for it has to run as root, by `MAINSTAY_USER` and `MAINSTAY_PASSWORD`.

use mainstay_client::access::{Permission, Refusal};
use mainstay_client::{Builder, Client, Error};

const ROLE: &str = "examples-orders";
const USER: &str = "examples-shop";
const PASSWORD: &str = "its password";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let access = Client::from_env()?.access();
    match access.add_role(ROLE).await {
        // Somebody has made it already, or this program has before it was broken off.
        Err(error) if error.refusal() == Some(Refusal::RoleExists) => {}
        made => made?,
    }
    let orders = Permission::read_write().prefix("examples/access/");
    access.grant_permission(ROLE, orders.clone()).await?;
    match access.add_user(USER, PASSWORD).await {
        Err(error) if error.refusal() == Some(Refusal::UserExists) => {}
        made => made?,
    }
    access.grant_role(USER, ROLE).await?;
    assert_eq!(access.role(ROLE).await?, Some(vec![orders]));
    assert_eq!(access.user(USER).await?, Some(vec![ROLE.to_owned()]));

    // Before `Access::enable` nobody is asked who they are, and everybody may do everything.
    if access.status().await?.enabled {
        let shop = Builder::from_env()?.user(USER, PASSWORD).build()?;
        shop.put("examples/access/1", "one apple").await?;
        let refused = shop
            .get("examples/other")
            .await
            .map_err(|error| error.refusal());
        assert_eq!(refused.err(), Some(Some(Refusal::PermissionDenied)));
        shop.delete("examples/access/1").await?;
        println!("{USER} may do what it is to do, and nothing else");
    }

    access.delete_user(USER).await?;
    access.delete_role(ROLE).await?;
    Ok(())
}
