# Three images: `torchserve` serves the model, `gateway` serves OpenAI's API before it, and `loadtest` sends requests to
# them. docs/images.md tells how they are built and run. BuildKit and Buildah build it: `make images`.

# Debian or Ubuntu with Python 3.10 to 3.13.
ARG IMAGE_BASE=docker.io/library/debian:bookworm-slim

# ---- What runs --------------------------------------------------------------------------------------------------------
FROM ${IMAGE_BASE} AS runtime
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Versions are not pinned: Debian keeps only the newest ones, and those have the security fixes.
# hadolint ignore=DL3008
RUN --mount=type=secret,id=apt,target=/etc/apt/sources.list.d/secret.list \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get upgrade --yes \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && groupadd --gid 10001 whisper \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin whisper \
    && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
# One layout for both: packages of others in a virtual environment, which changes seldom, and our own beside it.
ENV PATH=/opt/whisper-serve/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1

# ---- Building ---------------------------------------------------------------------------------------------------------
FROM runtime AS builder
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# hadolint ignore=DL3008
RUN --mount=type=secret,id=apt,target=/etc/apt/sources.list.d/secret.list \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
# pip has an environment of its own, so that it is not in the images.
RUN python3 -m venv /opt/tools \
    && python3 -m venv --without-pip /opt/venv \
    && echo /opt/whisper-serve > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/whisper-serve.pth"
WORKDIR /src

FROM builder AS wheel
COPY requirements-build.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    /opt/tools/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-build.lock
COPY LICENSE README.md hatch_build.py pyproject.toml ./
COPY handler handler
COPY model_store model_store
COPY proto proto
COPY whisper_serve whisper_serve
RUN /opt/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels .

# ---- The gateway ------------------------------------------------------------------------------------------------------
FROM builder AS gateway-packages
COPY requirements-gateway.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --require-hashes --requirement requirements-gateway.lock

FROM gateway-packages AS gateway-app
COPY --from=wheel /wheels /wheels
RUN /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --no-index --target /opt/whisper-serve /wheels/*.whl

FROM runtime AS gateway
COPY --from=gateway-packages /opt/venv /opt/venv
COPY --from=gateway-app /opt/whisper-serve /opt/whisper-serve
ENV WHISPER_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-m", "whisper_serve.health", "gateway"]
ENTRYPOINT ["tini", "--", "whisper-serve"]
CMD ["gateway"]
ARG IMAGE_BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisper-serve gateway" \
    org.opencontainers.image.description="OpenAI's audio API over HTTP, WebSocket and gRPC, before whisper-serve's TorchServe" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${IMAGE_BASE}"

# ---- Load tests -------------------------------------------------------------------------------------------------------
FROM builder AS loadtest-packages
COPY requirements-loadtest.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --require-hashes --requirement requirements-loadtest.lock

FROM loadtest-packages AS loadtest-app
COPY --from=wheel /wheels /wheels
RUN /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --no-index --target /opt/whisper-serve /wheels/*.whl
COPY loadtest /opt/whisper-serve/loadtest
COPY tests/data /opt/whisper-serve/tests/data

FROM runtime AS loadtest
COPY --from=loadtest-packages /opt/venv /opt/venv
COPY --from=loadtest-app /opt/whisper-serve /opt/whisper-serve
USER 10001:10001
WORKDIR /tmp
# Of a master of several machines: workers connect here.
EXPOSE 5557
# It runs once and ends: there is nothing to ask whether it is well.
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "loadtest", "--help"]
ARG IMAGE_BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisper-serve loadtest" \
    org.opencontainers.image.description="Load tests of whisper-serve with Locust, with recordings to send" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${IMAGE_BASE}"

# ---- TorchServe -------------------------------------------------------------------------------------------------------
FROM builder AS torchserve-packages
# The trial model is fetched by pip.
RUN /opt/venv/bin/python -m ensurepip
COPY requirements-torchserve.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --require-hashes --requirement requirements-torchserve.lock
# An index of PyTorch's builds, such as https://download.pytorch.org/whl/cpu. Without: the one of all packages, which on
# PyPI has the CUDA build.
ARG TORCH_INDEX
ARG TORCH=2.13.0
# What runs needs neither PyTorch's own tests nor the headers and tools for extensions in C++, and of pip only the module.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "torch==${TORCH}" \
    && torch=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch \
    && rm -r "${torch}/include" "${torch}/test" "${torch}/share" \
    && find "${torch}/bin" -type f ! -name torch_shm_manager -delete \
    && rm /opt/venv/bin/pip*

FROM torchserve-packages AS torchserve-app
COPY --from=wheel /wheels /wheels
RUN /opt/tools/bin/pip --python /opt/venv/bin/python install --quiet \
        --no-deps --no-index --target /opt/whisper-serve /wheels/*.whl \
    && whisper-serve build --no-weights --model base --output /opt/whisper-serve/model_store

FROM runtime AS torchserve
# TorchServe documents Java 11 and 17, and 21 runs it too.
ARG JRE=openjdk-17-jre-headless
# hadolint ignore=DL3008
RUN --mount=type=secret,id=apt,target=/etc/apt/sources.list.d/secret.list \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${JRE}" \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && install --directory --owner=10001 --group=10001 /models
COPY --from=torchserve-packages /opt/venv /opt/venv
COPY --from=torchserve-app /opt/whisper-serve /opt/whisper-serve
# Management (8081 and 7071) stays on loopback: who reaches it can load code.
ENV WHISPER_BUILD=false \
    WHISPER_MODEL_STORE=/opt/whisper-serve/model_store \
    WHISPER_MODEL_CACHE=/models \
    WHISPER_TORCHSERVE_HOST=0.0.0.0 \
    WHISPER_TORCHSERVE_METRICS_HOST=0.0.0.0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
VOLUME /models
EXPOSE 7070 8080 8082
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s CMD ["python", "-m", "whisper_serve.health", "torchserve"]
ENTRYPOINT ["tini", "--", "whisper-serve"]
CMD ["serve", "--no-gateway"]
ARG IMAGE_BASE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisper-serve torchserve" \
    org.opencontainers.image.description="OpenAI's Whisper in TorchServe, batched over the windows of all requests; weights come from /models" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${IMAGE_BASE}"
