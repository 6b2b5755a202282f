# The server, in an image that holds nothing else. From the root of the checkout:
#   docker build --file deploy/image/mainstay.Dockerfile --tag mainstay:0.1.0 .
FROM docker.io/library/rust:1.95-bookworm AS build
# bindgen asks clang for RocksDB's types.
RUN apt-get update && apt-get install --yes --no-install-recommends clang libclang-dev
WORKDIR /src
COPY . .
# The target's flags in .cargo/config.toml make the program static.
RUN cargo build --release --locked --package mainstay-server --bin mainstay \
    && mkdir /out \
    && cp "${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release/mainstay" /out/mainstay

FROM scratch
COPY deploy/image/passwd deploy/image/group /etc/
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mainstay /usr/local/bin/mainstay
# By number: a kubelet that is told runAsNonRoot cannot read names.
USER 65532:65532
EXPOSE 2379 2380 2381
ENTRYPOINT ["/usr/local/bin/mainstay"]
LABEL org.opencontainers.image.title="mainstay" \
      org.opencontainers.image.description="A replicated key-value store that speaks etcd's v3 API" \
      org.opencontainers.image.licenses="Apache-2.0"
