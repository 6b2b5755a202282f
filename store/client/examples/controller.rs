//! A controller: `etcdctl put examples/names/anna '"Anna"'` asks for a greeting, and the status of
//! the object, at `examples/names.status/anna`, has it at once.

use std::sync::Arc;

use mainstay_client::controller::{Action, Controller};
use mainstay_client::resource::{Json, Object, Resource, Resources};
use mainstay_client::{Client, Error};

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Name(String);

impl Resource for Name {
    const KIND: &'static str = "examples/names";
    type Status = String;
    type Format = Json;
}

async fn greet(name: Arc<Object<Name>>, names: Arc<Resources<Name>>) -> Result<Action, Error> {
    names.tell(&name, format!("hello, {}", name.spec.0)).await?;
    Ok(Action::AwaitChange)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let names = Client::from_env()?.resources::<Name>();
    let controller = Controller::new(names.clone()).until_signal();
    let again = |_, _: &Error, _| Action::BackOff;
    controller.run(greet, again, Arc::new(names)).await
}
