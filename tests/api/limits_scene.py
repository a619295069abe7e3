"""Clients that call as often as they may, and oftener."""

import re

from flask import Flask
from werkzeug.test import TestResponse

LIMIT = re.compile(r'"(client|failures)";r=(\d+);t=(\d+)')


def ask(app: Flask, key: str, address: str = "127.0.0.1", path: str = "/v1/processor-accounts") -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"}
    return app.test_client().get(path, headers=headers, environ_base={"REMOTE_ADDR": address})
