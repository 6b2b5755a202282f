# The operator, in an image that holds nothing else. From the root of the checkout:
#   docker build --file deploy/image/mainstay-operator.Dockerfile --tag mainstay-operator:0.1.0 .
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The target's flags in .cargo/config.toml make the program static.
RUN cargo build --release --locked --package mainstay-operator --bin mainstay-operator \
    && mkdir /out \
    && cp "${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release/mainstay-operator" /out/mainstay-operator

FROM scratch
COPY deploy/image/passwd deploy/image/group /etc/
# Buckets of public clouds are verified by these.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mainstay-operator /usr/local/bin/mainstay-operator
# By number: a kubelet that is told runAsNonRoot cannot read names.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/mainstay-operator"]
LABEL org.opencontainers.image.title="mainstay-operator" \
      org.opencontainers.image.description="Runs Mainstay clusters on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
