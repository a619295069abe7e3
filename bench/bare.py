"""The least that could be between a shop and a processor: Flask making the same two calls, nothing else."""

import os

import urllib3
from flask import Flask, request


def app() -> Flask:
    """What gunicorn loads; the processor's address is in BENCH_PROCESSOR."""
    bare = Flask("bare")
    pool = urllib3.connection_from_url(os.environ["BENCH_PROCESSOR"], maxsize=64, block=True)
    headers = {"Authorization": "Bearer sk_test_bench", "Content-Type": "application/x-www-form-urlencoded"}

    def post(path: str, form: str) -> urllib3.BaseHTTPResponse:
        return pool.urlopen("POST", path, body=form, headers=headers, retries=False)

    @bare.get("/livez")
    def livez() -> dict[str, str]:
        return {}

    @bare.post("/v1/tokens")
    def tokenize() -> tuple[dict[str, object], int]:
        number = request.get_json()["card"]["number"]
        method = post("/v1/payment_methods", f"type=card&card[number]={number}&card[exp_month]=12").json()["id"]
        stored = post("/v1/setup_intents", f"customer=cus_1&payment_method={method}&confirm=true").json()
        return {"id": stored["id"], "card": stored["payment_method"]["card"]}, 201

    return bare
