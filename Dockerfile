# The image that Render builds and runs. Both bases can be exchanged where these names cannot be pulled.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Queries are checked against `.sqlx/`: no build may need a database.
ENV SQLX_OFFLINE=true

# The dependencies, in a layer that only the manifest and the lock file change. Cargo wants the package's own sources
# to exist, so empty ones stand in; what was built from them is removed, or their newer time stamps would hide the
# real ones.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it benches \
    && echo '//! Stands in.' | tee src/lib.rs tests/it/main.rs tests/allocations.rs \
        benches/cache.rs benches/catalogue.rs benches/outage.rs \
    && printf '//! Stands in.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked --bin chatchonk \
    && cargo clean --release --package chatchonk

COPY . .
# Render hands its variables over as build arguments. After the dependencies: a new commit must not rebuild them.
ARG RENDER_GIT_COMMIT
RUN cargo build --release --locked --bin chatchonk

FROM ${RUNTIME_IMAGE}
# The slim image trusts no authority; HTTPS to Cloudflare and to the providers needs them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/chatchonk /usr/local/bin/chatchonk
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chatchonk
USER 10001

# In a container nobody reaches the loopback address, the server's default.
ENV HOST=0.0.0.0
EXPOSE 8080
# No shell in between: SIGTERM must reach the server for a graceful stop.
ENTRYPOINT ["/usr/local/bin/chatchonk"]
