//! The `mainstay` binary: reads flags and environment, and runs the member; or does one of the
//! offline chores (`offline.rs`).

mod cluster_version;
mod compactor;
mod corruption;
mod data_dir;
mod dial;
mod discovery;
mod disk_observer;
mod flags;
mod gate;
mod intent;
mod listeners;
mod logging;
mod member;
mod notify;
mod offline;
mod open_files;
mod planted;
mod restoration;
mod rooms;
mod seat;
mod settings;
mod start;
mod stop;
mod telemetry;
mod tls;

/// One heap for Rust and RocksDB, with less fragmentation than the C library's.
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    if let Some(code) = offline::from_process() {
        std::process::exit(code);
    }
    let settings = match flags::from_process() {
        flags::Start::Run(settings) => *settings,
        flags::Start::Exit(code) => std::process::exit(code),
    };
    let _log = logging::start(&settings.log);
    // Gives the runtime's threads to blocking work alone: raft, gRPC and apply share one thread,
    // which measured best on two cores (a second one costs a wake-up per hop).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(start::run(settings)),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        tracing::error!(error = format!("{error:#}"), "stopped");
        eprintln!("mainstay: {error:#}");
        std::process::exit(1);
    }
}
