# syntax=docker/dockerfile:1
# Server, worker and command line in one image: docker build -t escape .
# For hosts without a GPU: --build-arg ACCEL=cpu --build-arg TORCH_INDEX=(PyTorch's index of CPU builds).
ARG BASE=docker.io/library/python:3.12-slim-bookworm

# What installs; nothing of it is in the image. --require-hashes: what is not in a lock is not installed.
FROM ${BASE} AS tools
COPY requirements/build.lock /locks/
RUN --mount=type=cache,target=/root/.cache \
    python -m venv /opt/tools \
    && /opt/tools/bin/pip install --require-hashes -r /locks/build.lock
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv
# nobody compiles bytecode here: it would differ between two builds
RUN /opt/tools/bin/uv venv --python "$(command -v python)" /opt/venv

# Three parts of one environment, each a layer: torch changes seldom, the packages at times, the application always.
FROM tools AS torch
ARG ACCEL=gpu
ARG TORCH_INDEX=
COPY requirements/torch-*.lock /locks/
RUN --mount=type=cache,target=/root/.cache \
    version="$(python -c 'import sys; print("%d%d" % sys.version_info[:2])')" \
    && UV_INDEX="${TORCH_INDEX}" /opt/tools/bin/uv pip install --no-deps --require-hashes \
        --index-strategy unsafe-best-match -r "/locks/torch-${ACCEL}-py${version}.lock"

FROM tools AS packages
COPY requirements/packages-*.lock /locks/
RUN --mount=type=cache,target=/root/.cache \
    version="$(python -c 'import sys; print("%d%d" % sys.version_info[:2])')" \
    && /opt/tools/bin/uv pip install --no-deps --require-hashes -r "/locks/packages-py${version}.lock"

FROM tools AS application
WORKDIR /source
COPY LICENSE README.md pyproject.toml ./
COPY escape_process escape_process
RUN SOURCE_DATE_EPOCH=315532800 \
        /opt/tools/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheel . \
    && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-deps --no-index --no-compile /wheel/*.whl

FROM ${BASE}
# libexpat1: of rasterio's wheel. tini: a signal reaches a command that runs as process 1 and has no handler for it.
# hadolint ignore=DL3008 # the base's own release says which version
RUN apt-get update \
    && apt-get install -y --no-install-recommends libexpat1 tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* /var/log/apt /var/log/*.log \
    && useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin escape \
    && install -d -o escape -g escape /data
COPY --from=torch /opt/venv /opt/venv
COPY --from=packages /opt/venv /opt/venv
COPY catalog /app/catalog
COPY pygeoapi-config.yml LICENSE /app/
COPY --from=application /opt/venv /opt/venv

# PYTHONPYCACHEPREFIX: compiled once, not by every process, where the root is read-only, too.
# MALLOC_*: Dask's default has each tensor mapped and unmapped anew, which costs a worker four fifths of its speed.
# NVIDIA_*: without them the NVIDIA runtime shows no GPU.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPYCACHEPREFIX=/tmp/pycache \
    MALLOC_TRIM_THRESHOLD_=268435456 \
    MALLOC_MMAP_THRESHOLD_=67108864 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYGEOAPI_CONFIG=/app/pygeoapi-config.yml \
    ESCAPE_HOST=0.0.0.0 \
    ESCAPE_DATA_DIR=/data
# the interface of this configuration, for whom wants it before there is a server
RUN PYTHONDONTWRITEBYTECODE=1 escape-process openapi > /app/openapi.json
LABEL org.opencontainers.image.title="ESCAPE" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.description="Soil moisture and roughness, with uncertainty, from L-band SAR, as an OGC API process" \
    org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('ESCAPE_PORT', 5000)}/health/ready\", timeout=4)"]
ENTRYPOINT ["tini", "--", "escape-process"]
CMD ["serve"]
