"""The shapes on the wire: nested form fields coming in, JSON going out.

Stripe's clients flatten what they send into form fields: ``a[b]=1`` for a mapping, ``a[0]=1`` or ``a[]=1`` for a
list. What a number, a list or a mapping is, only the parameter's name tells: see ``params``.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox import errors

FIELD = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
DEEPEST = 8
MOST_FIELDS = 1000


def decode(form: str) -> dict[str, Any]:
    """Nested mappings of strings, out of form fields; raises 400 on fields that contradict each other."""
    tree: dict[str, Any] = {}
    try:
        fields = parse_qsl(form, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise errors.invalid("The request has too many fields, or bytes that are not UTF-8.") from error
    for name, value in fields:
        _place(tree, name, value)
    return tree


def _place(tree: dict[str, Any], name: str, value: str) -> None:
    path = _path(name)
    for key in path[:-1]:
        tree = tree.setdefault(key or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise errors.invalid("A parameter is sent both as a value and as a mapping.")
    if isinstance(tree.get(path[-1]), dict):
        raise errors.invalid("A parameter is sent both as a value and as a mapping.")
    tree[path[-1] or str(len(tree))] = value


def _path(name: str) -> list[str]:
    match = FIELD.fullmatch(name)
    path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else []
    if not 0 < len(path) <= DEEPEST:
        raise errors.invalid("A parameter's name is malformed, or nested too deeply.")
    return path


def public(thing: Mapping[str, Any]) -> dict[str, Any]:
    """What a client may see of an object: without the fields that start with an underscore, which are ours."""
    return {name: value for name, value in thing.items() if not name.startswith("_")}


def encode(body: object) -> bytes:
    """JSON, compact."""
    return json.dumps(body, separators=(",", ":")).encode()
