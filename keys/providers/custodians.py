"""A key file divided among people: any `threshold` of its shares make it again, fewer tell nothing (SLIP-39).

A share file has two lines: `panless-share-1 <key id> <checksum of the key> <number>/<shares> <threshold>`, and words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics

from keys.errors import KeyfileRefused
from keys.providers import keyfile

FORMAT = "panless-share-1"
MOST_SHARES = 16
"""What SLIP-39 has room for."""
LONGEST = 1024
"""Bytes; a longer file is not one of ours."""
TEXT = re.compile(rf"{FORMAT} (kf_[0-9a-f]{{16}}) ([0-9a-f]{{16}}) (\d\d?)/(\d\d?) (\d\d?)\n([a-z]+(?: [a-z]+)*)\n?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFile:
    """One share as it lies in a file. Its repr shows no word."""

    path: Path
    key_id: str
    checksum: str
    number: int
    threshold: int
    words: str = field(repr=False)


def split(path: Path, *, shares: int, threshold: int, to: Path) -> list[Path]:
    """Write the shares of the key file at `path` into the folder `to`, each of mode 0600; all of them, or none.

    Raises KeyfileRefused, OSError; ValueError unless 2 <= threshold <= shares <= MOST_SHARES.
    """
    if not 2 <= threshold <= shares <= MOST_SHARES:  # noqa: PLR2004  # one alone would be a copy, not a share
        raise ValueError(f"a key is split into at most {MOST_SHARES} shares, of which at least 2 make it again")
    key_id, key = keyfile.read(path)
    (words,) = generate_mnemonics(1, [(threshold, shares)], key)
    named = f"{FORMAT} {key_id} {_checksum(key_id, key)}"
    texts = {
        to / f"{key_id}.share-{number}": f"{named} {number}/{shares} {threshold}\n{one}\n"
        for number, one in enumerate(words, 1)
    }
    _write_all(texts)
    return [*texts]


def join(paths: Sequence[Path], *, to: Path) -> str:
    """Make the key file again at `to`, which must not exist; its id. Raises KeyfileRefused, and then wrote nothing."""
    shares = [read_share(path) for path in paths]
    first = shares[0]
    _refuse_mixed(shares)
    if len(shares) < first.threshold:
        raise KeyfileRefused(f"{first.threshold} shares are needed, and here are {len(shares)}: bring more")
    try:
        key = combine_mnemonics([share.words for share in shares[: first.threshold]])
    except MnemonicError:
        raise KeyfileRefused(
            f"these shares of {first.key_id} do not fit together: it was split more than once, or a share is damaged"
        ) from None
    if _checksum(first.key_id, key) != first.checksum:
        raise KeyfileRefused(f"these shares do not make {first.key_id}, because one of their first lines was changed")
    keyfile.write(to, first.key_id, key)
    return first.key_id


def _write_all(texts: dict[Path, str]) -> None:
    written: list[Path] = []
    try:
        for path, text in texts.items():
            keyfile.write_private(path, text)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink()
        raise


def read_share(path: Path) -> ShareFile:
    """A share, if its words are whole. Raises KeyfileRefused."""
    match = TEXT.fullmatch(keyfile.read_private(path, LONGEST))
    if match is None:
        raise KeyfileRefused(f"{path} is not a share of a key file ({FORMAT}), or is damaged: bring another share")
    try:
        share = Share.from_mnemonic(match[6])
    except MnemonicError:
        raise KeyfileRefused(f"{path} is damaged, one of its words is wrong: bring another share") from None
    if (share.index + 1, share.member_threshold) != (int(match[3]), int(match[5])):
        raise KeyfileRefused(f"{path} is damaged, its first line does not fit its words: bring another share")
    return ShareFile(
        path=path,
        key_id=match[1],
        checksum=match[2],
        number=share.index + 1,
        threshold=share.member_threshold,
        words=match[6],
    )


def _refuse_mixed(shares: Sequence[ShareFile]) -> None:
    first, seen = shares[0], dict[int, ShareFile]()
    for share in shares:
        if (share.key_id, share.checksum) != (first.key_id, first.checksum):
            raise KeyfileRefused(
                f"{first.path} is a share of {first.key_id}, and {share.path} one of {share.key_id}, another key: "
                "bring shares of one key"
            )
        if share.number in seen:
            raise KeyfileRefused(
                f"{seen[share.number].path} and {share.path} are both share {share.number}: bring another one"
            )
        seen[share.number] = share


def _checksum(key_id: str, key: bytes) -> str:
    """Tells keys apart and nothing of the key, which is 256 random bits."""
    return sha256(f"{FORMAT} {key_id} ".encode() + key).hexdigest()[:16]
