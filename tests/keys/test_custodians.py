import re
import stat
from itertools import combinations
from pathlib import Path

import pytest

from keys.errors import KeyfileRefused
from keys.providers import custodians, keyfile

SAID = {*re.findall("[a-z]{5,}", Path(custodians.__file__).read_text())}
"""Words of our own sentences: some are words of shares, too, which chance may bring."""


@pytest.fixture
def key(tmp_path: Path) -> Path:
    keyfile.create(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def shares(key: Path) -> list[Path]:
    """Three shares, of which two make the key again."""
    return split(key, "shares")


def split(key: Path, folder: str) -> list[Path]:
    (key.parent / folder).mkdir()
    return custodians.split(key, shares=3, threshold=2, to=key.parent / folder)


def refused(shares: list[Path], match: str) -> None:
    """These shares make nothing, and nothing is written; no word of any is in the message."""
    made = shares[0].parent / "made"
    with pytest.raises(KeyfileRefused, match=match) as refusal:
        custodians.join(shares, to=made)
    assert not made.exists()
    words = {word for share in shares for word in share.read_text().splitlines()[1].split()[4:]}
    assert not words & set(re.findall("[a-z]{5,}", str(refusal.value))) - SAID


def test_enough_shares_make_the_very_file_again(key: Path, shares: list[Path], tmp_path: Path) -> None:
    """Any two of three, and all three, in any order, give the file byte for byte, for its owner alone."""
    for number, some in enumerate([*combinations(shares, 2), shares[::-1]]):
        made = tmp_path / f"made-{number}"
        assert custodians.join(some, to=made) == keyfile.load(key).key_id
        assert made.read_bytes() == key.read_bytes()
        assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_a_share_is_its_owners_alone_and_names_the_key(key: Path, shares: list[Path]) -> None:
    """A share has mode 0600, says of which key it is, and holds nothing of the key file's line."""
    for share in shares:
        assert stat.S_IMODE(share.stat().st_mode) == 0o600
        assert keyfile.load(key).key_id in share.read_text()
        assert key.read_text().split()[2] not in share.read_text()


def test_too_few_shares_make_nothing(shares: list[Path]) -> None:
    """One share of two is told how many are needed."""
    refused(shares[:1], "2 shares are needed, and here are 1")


def test_a_repeated_share_makes_nothing(shares: list[Path]) -> None:
    """A share that is given twice, under any name, is not two."""
    copy = shares[0].with_name("copy")
    keyfile.write_private(copy, shares[0].read_text())
    refused([shares[0], copy], "are both share 1")


def test_shares_of_two_keys_make_nothing(shares: list[Path], tmp_path: Path) -> None:
    """Shares of different keys are told apart, with both their ids."""
    keyfile.create(tmp_path / "other")
    refused([shares[0], split(tmp_path / "other", "others")[1]], "another key: bring shares of one key")


def test_shares_of_two_splittings_make_nothing(key: Path, shares: list[Path]) -> None:
    """A key that was split twice is made again from shares of one splitting only."""
    refused([shares[0], split(key, "again")[1]], "split more than once")


def test_damaged_shares_make_nothing(shares: list[Path]) -> None:
    """A word changed, cut off or exchanged is found, and so are a first line of another share and an open file."""
    text = shares[1].read_text()
    head, words = text.splitlines()
    some = words.split()
    changed = "academic" if some[9] != "academic" else "acid"
    damaged = {
        "one of its words is wrong": [
            " ".join([*some[:9], changed, *some[10:]]),
            " ".join(some[:-1]),
            " ".join([*some[:5], some[6], some[5], *some[7:]]) if some[5] != some[6] else " ".join(some[1:]),
        ],
        "or is damaged": ["", "12 34"],
    }
    for match, wrong in damaged.items():
        for one in wrong:
            shares[1].write_text(f"{head}\n{one}\n")
            refused_share(shares, match)
    shares[1].write_text(text.replace(" 2/3 ", " 3/3 "))
    refused_share(shares, "does not fit its words")
    shares[1].write_text(text)
    shares[1].chmod(0o644)
    refused_share(shares, "chmod 600")


def refused_share(shares: list[Path], match: str) -> None:
    made = shares[0].parent / "made"
    with pytest.raises(KeyfileRefused, match=match):
        custodians.join(shares[:2], to=made)
    assert not made.exists()


def test_another_keys_checksum_makes_nothing(shares: list[Path]) -> None:
    """A first line that was changed in all shares alike is found by the key that they make."""
    for share in shares:
        head, words = share.read_text().splitlines()
        share.write_text(re.sub(" [0-9a-f]{16} ", " 0123456789abcdef ", head) + f"\n{words}\n")
    refused(shares[:2], "one of their first lines was changed")


def test_nothing_is_overwritten(key: Path, shares: list[Path]) -> None:
    """Neither a key file nor a share that is there is written over, and no half of a splitting stays."""
    before = key.read_bytes()
    with pytest.raises(KeyfileRefused, match="never overwritten"):
        custodians.join(shares, to=key)
    assert key.read_bytes() == before
    shares[0].unlink()
    with pytest.raises(KeyfileRefused, match="never overwritten"):
        custodians.split(key, shares=3, threshold=2, to=shares[0].parent)
    assert sorted(shares[0].parent.iterdir()) == shares[1:]


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_what_is_no_splitting_is_refused(key: Path, tmp_path: Path, threshold: int, count: int) -> None:
    """One share alone never makes a key, nor can more be needed than there are."""
    with pytest.raises(ValueError, match="at least 2"):
        custodians.split(key, shares=count, threshold=threshold, to=tmp_path)


def test_a_share_shows_no_word(shares: list[Path]) -> None:
    """A share that was read prints its key's id and none of its words."""
    text = repr(custodians.read_share(shares[0]))
    assert shares[0].read_text().splitlines()[1][:20] not in text
    assert "kf_" in text
