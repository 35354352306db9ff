# syntax=docker/dockerfile:1
# The HTTP API over one model:
#   docker build -t uip2p .                                    with a CPU; for a GPU, see TORCH_INDEX below
#   docker run --rm uip2p serve --new-key alice                prints a key, and the line that lets it in
#   docker run --rm -p 8000:8000 -e UIP2P_API_KEYS="alice:…" uip2p
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH="torch==2.13.0"
# NVIDIA: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130, and docker run --gpus all
ARG TORCH_INDEX="https://download.pytorch.org/whl/cpu"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/uip2p
ENV PATH=/opt/uip2p/bin:$PATH
WORKDIR /src
RUN pip install --index-url "${TORCH_INDEX}" "${TORCH}"
# What it needs, before its own code: a change of the code is then a layer of some megabytes.
COPY pyproject.toml README.md requirements.txt ./
RUN mkdir -p src/uip2p && touch src/uip2p/__init__.py \
    && pip install -c requirements.txt ".[serve,provenance]"
COPY src src
RUN pip install --no-deps --force-reinstall .

FROM python:${PYTHON}
RUN useradd --uid 10001 --create-home uip2p && install -d -o uip2p /cache
COPY --from=build /opt/uip2p /opt/uip2p
ENV PATH=/opt/uip2p/bin:$PATH PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE \
    HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache MPLCONFIGDIR=/cache/matplotlib
USER 10001
WORKDIR /home/uip2p
# Models of the hub, kept from one container to the next: -v uip2p-cache:/cache
VOLUME /cache
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["uip2p"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
