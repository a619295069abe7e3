"""Unambiguous bytes out of several parts: no two different lists of parts give the same bytes."""

import struct

_LENGTH = struct.Struct(">I")


def frame(*parts: bytes) -> bytes:
    """Each part with its length before it: `u32 length, big-endian | part`, in the order given."""
    return b"".join([_LENGTH.pack(len(part)) + part for part in parts])
