"""Panless with two routes more: a query that takes half a second, and whether the process may be dumped."""

import ctypes
import resource

from flask import Flask
from sqlalchemy import text

from api.parts import NAME
from panless import wsgi
from rows.engine import reading

PR_GET_DUMPABLE = 3


def app() -> Flask:
    application = wsgi.app()
    records = application.extensions[NAME].records

    @application.get("/slow")
    def slow() -> dict[str, bool]:
        with reading(records) as connection:
            connection.execute(text("SELECT pg_sleep(0.5)"))
        return {"slept": True}

    @application.get("/dumpable")
    def dumpable() -> dict[str, object]:
        return {
            "dumpable": ctypes.CDLL(None).prctl(PR_GET_DUMPABLE),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
        }

    return application
