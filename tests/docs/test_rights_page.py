"""The page about rights: its commands as they stand there, and what they show."""

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from house import token_order
from tour_scene import run_page, running

PAGE = "docs/rights.md"


def test_every_right_works_as_written(tmp_path: Path, free_port: int) -> None:
    """Each step shows what the text beside it says, from access to OpenDSR's signature."""
    with running(tmp_path, free_port):
        _, access, portability, rectification, restriction, objection, hold, erasure, opendsr, signature = run_page(
            PAGE, "tour", tmp_path
        )
    assert '"complaint":' in access
    assert "data.json" in access
    assert "Ada Lovelace" in portability
    assert '"status":"completed"' in rectification
    assert '"ground":"accuracy_contested"' in restriction
    assert '"restricted":false' in restriction
    assert '"status":"denied"' in objection
    assert '"blocked":true' in hold
    assert '"blocked":false' in erasure
    assert '"request_id"' in erasure
    certificate = json.loads((tmp_path / "certificate.json").read_text())["certificate"]
    assert {each["result"] for each in certificate["recipients"]} == {"erased"}
    assert '"supported_identities"' in opendsr
    assert '"encoded_request"' in opendsr
    assert signature == "Verified OK\n"


def call(home: Path, role: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Call the door of the Panless that runs in `home`, with the key of a role."""
    named = dict(line.split("=", 1) for line in (home / ".panless" / "dev.env").read_text().splitlines())
    headers = {"Authorization": f"Bearer {named[f'PANLESS_{role}_KEY']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(named["PANLESS_URL"] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_restore_works_as_written(tmp_path: Path, free_port: int) -> None:
    """Records of before an erasure are brought back and replayed by the page's commands: erased stays erased."""
    (tmp_path / "backup").mkdir()
    with running(tmp_path, free_port):
        _, token = call(tmp_path, "CHECKOUT", "POST", "/v1/tokens", token_order())
        customer = f"/v1/customers/{token['customer']}"
    shutil.copy(tmp_path / ".panless" / "records.db", tmp_path / "backup")
    with running(tmp_path, free_port):
        while call(tmp_path, "PRIVACY", "DELETE", customer)[0] != 200:
            time.sleep(0.2)
    _, replayed = run_page(PAGE, "restore", tmp_path)
    assert "entries replayed. These databases may serve." in replayed
    with running(tmp_path, free_port):
        assert call(tmp_path, "PRIVACY", "GET", customer)[0] == 410
        while call(tmp_path, "PRIVACY", "DELETE", customer)[0] != 200:
            time.sleep(0.2)
