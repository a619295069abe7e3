import os
import stat
from pathlib import Path

import pytest

from keys.errors import KeyfileRefused, Unreadable
from keys.providers.keyfile import create, load


@pytest.fixture
def keyfile(tmp_path: Path) -> Path:
    create(tmp_path / "root.key")
    return tmp_path / "root.key"


def test_a_new_key_file_wraps_and_unwraps(keyfile: Path) -> None:
    """What one process wrapped, another that loads the file unwraps; no two wraps are alike."""
    wrapped = load(keyfile).wrap(b"k" * 64)
    assert load(keyfile).unwrap(wrapped) == b"k" * 64
    assert load(keyfile).wrap(b"k" * 64) != wrapped


def test_a_new_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The file has mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        create(tmp_path / "root.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600


def test_its_line(keyfile: Path) -> None:
    """The file is one line: format, key id, 32 bytes in base64; the root key goes by that id."""
    name, key_id, key = keyfile.read_text().removesuffix("\n").split(" ")
    assert (name, len(key)) == ("panless-keyfile-1", 44)
    assert load(keyfile).key_id == key_id
    assert load(keyfile).provider == "keyfile"
    assert key_id.startswith("kf_")
    assert len(key_id) == 19


def test_never_overwrites(keyfile: Path) -> None:
    """A file that is there stays as it is, a dangling symlink too."""
    before = keyfile.read_bytes()
    with pytest.raises(KeyfileRefused, match="never overwritten"):
        create(keyfile)
    assert keyfile.read_bytes() == before
    dangling = keyfile.with_name("dangling")
    dangling.symlink_to(keyfile.with_name("nowhere"))
    with pytest.raises(KeyfileRefused):
        create(dangling)
    assert not keyfile.with_name("nowhere").exists()


@pytest.mark.parametrize("mode", [0o601, 0o604, 0o610, 0o640, 0o620, 0o644, 0o660, 0o700, 0o777, 0o4600])
def test_open_permissions_are_refused(keyfile: Path, mode: int) -> None:
    """Anything more than 0600 is refused, and the message says what to run."""
    keyfile.chmod(mode)
    with pytest.raises(KeyfileRefused, match=f"chmod 600 {keyfile}"):
        load(keyfile)


def test_less_is_fine(keyfile: Path) -> None:
    """0400 and 0600 are both accepted."""
    for mode in (0o400, 0o600):
        keyfile.chmod(mode)
        assert load(keyfile).key_id


def test_a_symlink_is_followed(keyfile: Path, tmp_path: Path) -> None:
    """A mounted secret is often a symlink: what counts is the file it leads to."""
    (tmp_path / "link").symlink_to(keyfile)
    assert load(tmp_path / "link").key_id == load(keyfile).key_id
    keyfile.chmod(0o644)
    with pytest.raises(KeyfileRefused):
        load(tmp_path / "link")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Nothing, a directory and a pipe are refused at once."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyfileRefused):
            load(path)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\n",
        b"panless-keyfile-2 kf_0123456789abcdef " + b"A" * 43 + b"=\n",
        b"panless-keyfile-1 kf_0123456789abcde " + b"A" * 43 + b"=\n",
        b"panless-keyfile-1 kf_0123456789abcdef " + b"A" * 42 + b"=\n",
        b"panless-keyfile-1 kf_0123456789abcdef " + b"!" * 43 + b"=\n",
        b"panless-keyfile-1 kf_0123456789abcdef " + b"A" * 43 + b"=\nmore\n",
        b" panless-keyfile-1 kf_0123456789abcdef " + b"A" * 43 + b"=",
        b"\xff" * 64,
        bytes(5000),
    ],
)
def test_another_format_is_refused_without_quoting_it(keyfile: Path, wrong: bytes) -> None:
    """Half a key, another format or noise is refused; the message quotes nothing of the file."""
    keyfile.write_bytes(wrong)
    with pytest.raises(KeyfileRefused, match="is not a key file") as refusal:
        load(keyfile)
    assert "AAAA" not in str(refusal.value)


def test_damage_is_unreadable(keyfile: Path, tmp_path: Path) -> None:
    """A wrap with a bit flipped, cut anywhere, or from another key file does not open."""
    root = load(keyfile)
    wrapped = root.wrap(b"k" * 64)
    create(tmp_path / "other.key")
    flips = [wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(len(wrapped))]
    for wrong in (
        *flips,
        *(wrapped[:length] for length in range(len(wrapped))),
        load(tmp_path / "other.key").wrap(b""),
    ):
        with pytest.raises(Unreadable):
            root.unwrap(wrong)
