"""State between runs: one JSON file, written whole and moved into place, 0600.

Card numbers are in no object to begin with. Names, contacts and evidence are taken out here: they live in memory only,
and so do events. Each object is rendered once when it changes, so that a write costs little more than its bytes.
"""

import json
import os
import tempfile
from pathlib import Path

from sandbox import state, wire
from sandbox.state import SINGULAR, Account, Object, Sandbox

VERSION = 1
KEPT = (*(kind for kind in SINGULAR if kind != "events"), "answers")
CONTACT = {
    "address",
    "billing_details",
    "business_name",
    "email",
    "evidence",
    "individual_name",
    "name",
    "phone",
    "receipt_email",
    "shipping",
    "tax_id",
}


class StateError(Exception):
    """The state file cannot be used; the message says why."""


def note(account: Account, kind: str, name: str) -> None:
    """Render an object that changed, for the next write."""
    if kind not in KEPT:
        return
    lines = account.lines.setdefault(kind, {})
    before, after = lines.get(name), _line(account, kind, name)
    if after:
        lines[name] = after
    else:
        lines.pop(name, None)
    account.sandbox.is_unsaved |= before != after


def _line(account: Account, kind: str, name: str) -> bytes | None:
    if kind != "answers":
        thing = account.tables[kind].get(name)
        return wire.encode(without_contact(thing)) if thing else None
    answer = account.answers.get(name)
    return wire.encode(without_contact(answer | {"body": json.loads(answer["body"])})) if answer else None


def without_contact(value: object) -> object:
    """A value with every name, contact and piece of evidence blank."""
    if isinstance(value, dict):
        return {name: _blank(part) if name in CONTACT else without_contact(part) for name, part in value.items()}
    return [without_contact(part) for part in value] if isinstance(value, list) else value


def _blank(value: object) -> object:
    return {name: _blank(part) for name, part in value.items()} if isinstance(value, dict) else None


def rendered(sandbox: Sandbox) -> list[bytes]:
    """The file's content, in pieces that share the memory of the lines they are made of."""
    head = {"version": VERSION, "secret": sandbox.secret.hex(), "clock_offset": sandbox.clock_offset}
    pieces = [wire.encode(head)[:-1], b',"accounts":{']
    for number, account in enumerate(sandbox.accounts.values()):
        pieces += [b"," if number else b"", wire.encode(account.id), b":{"]
        for place, kind in enumerate(KEPT):
            lines = account.lines.get(kind, {})
            pieces += [b"," if place else b"", wire.encode(kind), b":[\n", b",\n".join(lines.values()), b"]"]
        pieces.append(b"}")
    return [*pieces, b"}}\n"]


def write(path: Path, pieces: list[bytes]) -> None:
    """Put the content in place at once: a crash leaves the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> Sandbox:
    """The sandbox as it was; a fresh one when there is no file. Raises StateError for anything else."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StateError(f"There is no folder {path.parent} to keep the state in.") from None
        return Sandbox(keeps_state=True)
    except OSError as error:
        raise StateError(f"The state file {path} cannot be read: {error.strerror}.") from error
    try:
        return _restored(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"The state file {path} is not one that this sandbox wrote. Move it away to start afresh."
        raise StateError(message) from error


def _restored(content: Object) -> Sandbox:
    if content["version"] != VERSION:
        raise ValueError
    secret, offset = bytes.fromhex(content["secret"]), int(content["clock_offset"])
    sandbox = Sandbox(secret=secret, clock_offset=offset, keeps_state=True)
    for name, kinds in content["accounts"].items():
        sandbox.accounts[name] = account = Account(name, sandbox)
        for kind in KEPT:
            _restore(account, kind, kinds.get(kind, []))  # the file may be older than the kind
    return sandbox


def _restore(account: Account, kind: str, rows: list[Object]) -> None:
    table = account.answers if kind == "answers" else account.tables[kind]
    for row in rows:
        table[row["id"]] = row if kind != "answers" else row | {"body": wire.encode(row["body"])}
        account.count = max(account.count, row.get("_order", 0))
        state.reindex(account, kind, row)
        note(account, kind, row["id"])
        if kind == "refunds" and "_settles_at" in row:
            account.settling[row["id"]] = row["_settles_at"]
