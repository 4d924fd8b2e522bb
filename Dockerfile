# trie in an image; docs/image.md says how to use it.
#
#   docker build -t trie .
#   mkdir -p outputs
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/outputs:/work/outputs" trie endpoint=http://HOST:8000/v1 model=M

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY .ci/constraints.txt ./constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY conf ./conf
COPY trie ./trie
# The tests of pandas, numpy and pyarrow are a tenth of the image, and nothing imports them.
RUN python -m venv /opt/trie \
    && /opt/trie/bin/pip install --no-cache-dir --constraint constraints.txt . \
    && /opt/trie/bin/pip uninstall --yes pip setuptools \
    && find /opt/trie/lib -type d -name tests -prune -exec rm -rf {} +

FROM python:3.11-slim-bookworm
COPY --from=build /opt/trie /opt/trie
# Another user (docker run --user) writes there too.
RUN useradd --uid 10001 --create-home trie \
    && mkdir -p /work/outputs /work/multirun \
    && chmod 1777 /home/trie /work /work/outputs /work/multirun
ENV PATH=/opt/trie/bin:$PATH \
    HOME=/home/trie \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /work
ENTRYPOINT ["trie"]
