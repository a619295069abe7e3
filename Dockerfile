# What `panless serve` needs, wherever ledger and root keys lie, and nothing else: no compiler, no shell history, no secret,
# no sandbox.
FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/run.txt requirements/s3.txt \
     requirements/pkcs11.txt requirements/aws-kms.txt requirements/hashicorp-transit.txt requirements/redis.txt ./
RUN python -m venv /opt/panless \
 && /opt/panless/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r run.txt -r s3.txt \
      -r pkcs11.txt -r aws-kms.txt -r hashicorp-transit.txt -r redis.txt \
 && /opt/panless/bin/pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Panless" \
      org.opencontainers.image.description="A payment-token vault that never keeps the PAN" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin panless \
 && install -d -o panless -g panless -m 0700 /data
COPY --from=build /opt/panless /opt/panless
COPY rows /opt/app/rows
COPY keys /opt/app/keys
COPY vault /opt/app/vault
COPY api /opt/app/api
COPY migrations /opt/app/migrations
COPY panless /opt/app/panless
ENV PATH=/opt/panless/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PANLESS_BIND=0.0.0.0:8080
USER panless
WORKDIR /data
# The one place that is written to; run with --read-only --tmpfs /tmp.
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "panless"]
CMD ["serve"]
