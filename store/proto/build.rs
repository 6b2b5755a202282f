//! Generates the Rust types from our .proto files, without protoc.

/// What holds a password, its hash or a token has a `Debug` of its own, in `src/secret.rs`.
const SECRET: [&str; 7] = [
    "etcdserverpb.AuthenticateRequest",
    "etcdserverpb.AuthenticateResponse",
    "etcdserverpb.AuthUserAddRequest",
    "etcdserverpb.AuthUserChangePasswordRequest",
    "authpb.User",
    "mainstay.entry.UserAdd",
    "mainstay.entry.UserChangePassword",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "etcdserverpb/rpc.proto",
        "mainstay/entry.proto",
        "mainstay/peer.proto",
        "v3electionpb/election.proto",
        "v3lockpb/lock.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), {
        use protox::prost::Message;
        descriptors.encode_to_vec()
    })?;
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(SECRET)
        .compile_fds(descriptors)?;
    Ok(())
}
