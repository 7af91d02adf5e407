# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep the five hundred dependencies between builds; the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin whopulls && cp target/release/whopulls /whopulls

FROM debian:bookworm-slim
# curl is for the health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home whopulls \
    && install -d -o whopulls -g whopulls /var/lib/whopulls
COPY --from=build /whopulls /usr/local/bin/whopulls
USER 10001
VOLUME /var/lib/whopulls
WORKDIR /var/lib/whopulls
ENV WHOPULLS_CONFIG=/etc/whopulls/whopulls.toml
ENTRYPOINT ["whopulls"]
CMD ["serve"]
