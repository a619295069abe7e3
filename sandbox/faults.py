"""Faults on a script: which requests go wrong, and how.

A fault: ``{"method": "POST", "path": "/v1/payment_intents", "times": 1, "after": 0, "do": "lose_answer"}``. ``path``
may be a pattern (``/v1/payment_intents*``); ``after`` lets that many matching requests pass first; ``do`` is one of

- ``lose_answer``: acts, stores the outcome for the idempotency key, closes the connection without an answer
- ``reset``: resets the connection (TCP RST) before acting
- ``delay``: waits ``seconds`` before acting, or with ``"when": "after"`` after it
- ``status``: answers ``status``, with ``code`` and ``type`` if given, without acting; with ``"act": true`` (5xx only)
  it acts, and the failure is what is stored and replayed
- ``garbage``: answers 200 with a body that is not JSON, after acting unless ``"act": false``
- ``in_flight``: answers 409 ``idempotency_key_in_use``, as if another request held the key
- ``unknown_url``: answers 404 without a code, as to an account that lacks a feature (``"path": "/v1/privacy/*"``)
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

DEEDS = ("lose_answer", "reset", "delay", "status", "garbage", "in_flight", "unknown_url")
WEBHOOKS = (None, "twice", "reverse", "drop")
LONGEST_DELAY = 600
SERVER_ERROR = 500


class ScriptError(ValueError):
    """A script that cannot be followed; the message says what to change."""


@dataclass
class Script:
    """The faults still armed, and what happens to webhooks."""

    faults: list[dict[str, Any]] = field(default_factory=list)
    webhooks: str | None = None


def arm(script: Script, order: object) -> None:
    """Add the faults of ``{"faults": [...], "webhooks": ...}``; raises ScriptError and adds none if one is wrong."""
    if not isinstance(order, dict) or not order or not order.keys() <= {"faults", "webhooks"}:
        raise ScriptError('The script is a JSON object with "faults" (a list), "webhooks", or both.')
    faults = order.get("faults", [])
    if not isinstance(faults, list):
        raise ScriptError('"faults" is a list of objects.')
    checked = [_check(fault) for fault in faults]
    if order.get("webhooks") not in WEBHOOKS:
        raise ScriptError('"webhooks" is "twice", "reverse", "drop" or null.')
    script.faults.extend(checked)
    script.webhooks = order.get("webhooks", script.webhooks)


def clear(script: Script) -> None:
    """Let everything go well again."""
    script.faults.clear()
    script.webhooks = None


def take(script: Script, method: str, path: str) -> dict[str, Any]:
    """The fault that this request meets, used up by one; empty when it meets none."""
    for fault in script.faults:
        if fault["method"] not in ("*", method) or not fnmatchcase(path, fault["path"]):
            continue
        if fault["after"]:
            fault["after"] -= 1
            continue
        fault["times"] -= 1
        if not fault["times"]:
            script.faults.remove(fault)
        return fault
    return {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_DELAY


RULES: dict[str, tuple[Any, Callable[[Any], bool], str]] = {
    "do": (None, lambda value: value in DEEDS, f"one of {', '.join(DEEDS)}"),
    "method": ("POST", lambda value: value in ("GET", "POST", "DELETE", "*"), "GET, POST, DELETE or *"),
    "path": ("*", lambda value: isinstance(value, str) and value[:1] in ("/", "*"), "a path or a pattern"),
    "times": (1, lambda value: _is_count(value) and value > 0, "a whole number from 1"),
    "after": (0, _is_count, "a whole number from 0"),
    "status": (500, lambda value: _is_count(value) and 400 <= value <= 599, "a status from 400 to 599"),  # noqa: PLR2004 - HTTP's own bounds
    "seconds": (1, _is_seconds, f"seconds from 0 to {LONGEST_DELAY}"),
    "when": ("before", lambda value: value in ("before", "after"), "before or after"),
    "act": (None, lambda value: value is None or isinstance(value, bool), "true or false"),
    "code": (None, lambda value: value is None or isinstance(value, str), "an error code"),
    "type": (None, lambda value: value is None or isinstance(value, str), "an error type"),
}


def _check(fault: object) -> dict[str, Any]:
    if not isinstance(fault, dict) or not fault.keys() <= RULES.keys():
        raise ScriptError(f"A fault is an object with {', '.join(RULES)}; only those names.")
    full = {name: fault.get(name, default) for name, (default, _, _) in RULES.items()}
    for name, (_, is_right, wanted) in RULES.items():
        if not is_right(full[name]):
            raise ScriptError(f'"{name}" of a fault is {wanted}.')
    if full["do"] == "status" and full["act"] and full["status"] < SERVER_ERROR:
        raise ScriptError('A fault with "act": true answers a status from 500: below it, Stripe has not acted.')
    if full["act"] is None:
        full["act"] = full["do"] not in ("status", "in_flight", "reset", "unknown_url")
    return full
