# The image that Render builds and runs. Both base images can be replaced where they cannot be pulled.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
# Queries are checked against `.sqlx/`, so that no build needs a database.
ENV SQLX_OFFLINE=true

# The dependencies, in a layer that only the manifest and the lock file change. Cargo needs the package's sources, so
# empty files replace them. Their build is removed, because their newer time stamps would hide the real sources.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it benches \
    && echo '//! Stands in.' | tee src/lib.rs tests/it/main.rs tests/allocations.rs \
        benches/cache.rs benches/catalogue.rs benches/outage.rs \
    && printf '//! Stands in.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked --bin chatchonk \
    && cargo clean --release --package chatchonk

COPY . .
# Render passes its variables as build arguments. This is after the dependencies, so that a new commit does not rebuild
# them.
ARG RENDER_GIT_COMMIT
RUN cargo build --release --locked --bin chatchonk

FROM ${RUNTIME_IMAGE}
# The slim image has no root certificates; HTTPS to Cloudflare and to the providers needs them.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/chatchonk /usr/local/bin/chatchonk
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chatchonk
USER 10001

# The server's default, the loopback address, is not reachable from outside a container.
ENV HOST=0.0.0.0
EXPOSE 8080
# Without a shell, so that SIGTERM reaches the server for a graceful stop.
ENTRYPOINT ["/usr/local/bin/chatchonk"]
