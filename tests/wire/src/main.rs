//! `mainstay-wire`: compares a server with etcd 3.7.1, by random requests, by scripts and through
//! real clients. Holds no comparison itself; see the library.

use std::process::ExitCode;

use mainstay_wire::options::{Options, USAGE};
use mainstay_wire::{
    apiserver, auth, client, clients, diff, etcdctl, go_client, http, json, lock, member, observe,
    rust_client, script, snapshot, tls,
};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = match options.command.as_str() {
        "diff" => diff::run(&options).await,
        "script" => script::run(&options).await,
        "etcdctl" => etcdctl::run(&options).await,
        "http" => http::run(&options).await,
        "go-client" => go_client::run(&options).await,
        "json" => json::run(&options).await,
        "lock" => lock::run(&options).await,
        "member" => member::run(&options).await,
        "observe" => observe::run(&options).await,
        "rust-client" => rust_client::run(&options).await,
        "snapshot" => snapshot::run(&options).await,
        "tls" => tls::run(&options).await,
        "client" => client::run(&options).await,
        "clients" => clients::run(&options).await,
        "apiserver" => apiserver::run(&options).await,
        "auth" => auth::run(&options).await,
        other => {
            eprintln!("unknown command {other}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}
