"""Pieces of files as a ZIP that is written while it is read; its last file says what the others must be.

Equal pieces give equal bytes: every entry has the same time and rights.
"""

import hashlib
import json
from collections.abc import Generator, Iterable
from itertools import groupby
from operator import itemgetter
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MANIFEST = "manifest.json"
_THE_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest that a ZIP can say (APPNOTE 4.4.6)."""

_UNIX, _OWNER_ONLY = 3, 0o600 << 16


class _Sink:
    """What a ZipFile writes to; it can't seek, so sizes follow each entry instead of leading it."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        return len(data)

    def flush(self) -> None:
        """Nothing lies elsewhere."""

    def taken(self) -> bytes:
        data = bytes(self._waiting)
        self._waiting.clear()
        return data


def as_zip(pieces: Iterable[tuple[str, bytes]]) -> Generator[bytes]:
    """The bytes of a ZIP with these (file name, piece of it), the pieces of one file in a row; never all at once.

    The last file, `manifest.json`, lists the others as `{"files":[{"name","size","sha256"}]}`, sizes in bytes.
    """
    sink, listed = _Sink(), []
    with ZipFile(sink, "w") as archive:  # type: ignore[call-overload]  # it asks for less than its stubs do
        for name, run in groupby(pieces, key=itemgetter(0)):
            digest, size = hashlib.sha256(), 0
            with archive.open(_entry(name), "w") as file:
                for _, piece in run:
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    yield sink.taken()
            listed.append({"name": name, "size": size, "sha256": digest.hexdigest()})
        archive.writestr(_entry(MANIFEST), json.dumps({"files": listed}, indent=1) + "\n")
    yield sink.taken()


def _entry(name: str) -> ZipInfo:
    entry = ZipInfo(name, _THE_FIRST_MOMENT)
    entry.compress_type, entry.create_system, entry.external_attr = ZIP_DEFLATED, _UNIX, _OWNER_ONLY
    return entry
