"""Key and certificate of OpenDSR: made, read, refused, and what the settings say of them."""

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commands import panless
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from program_scene import refusal

from keys.errors import KeyfileRefused
from panless.checks.examination import examine
from panless.errors import SettingsError
from panless.settings import opendsr_files
from panless.settings.environment import Settings, read_settings

DOMAIN = "vault.example.com"
REQUIRED = ("RECORDS_URL", "KEYSTORE_URL", "KEYFILE", "LEDGER", "POLICY")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    opendsr_files.create(DOMAIN, *made, datetime.now(UTC))
    return made


def test_made_and_read(files: tuple[Path, Path]) -> None:
    """What is made is what is read; the key is its owner's alone, and nothing is ever overwritten."""
    assert opendsr_files.read(DOMAIN, *files).certificate == files[1].read_bytes()
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        opendsr_files.create(DOMAIN, *files, datetime.now(UTC))


def test_a_key_that_others_can_read(files: tuple[Path, Path]) -> None:
    """More than 0600 is refused, with the command that mends it."""
    files[0].chmod(0o640)
    with pytest.raises(KeyfileRefused, match="chmod 600"):
        opendsr_files.read(DOMAIN, *files)


def test_another_domain(files: tuple[Path, Path]) -> None:
    """The certificate names the domain, as CN and as SAN, or it is not ours."""
    with pytest.raises(SettingsError, match=r"must name other\.example\.com"):
        opendsr_files.read("other.example.com", *files)


def test_another_key(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A certificate of another key would prove nothing."""
    other = tmp_path / "other.pem"
    opendsr_files.create(DOMAIN, other, tmp_path / "unused.pem", datetime.now(UTC))
    with pytest.raises(SettingsError, match="not the certificate of"):
        opendsr_files.read(DOMAIN, other, files[1])


KEYS: dict[str, Callable[[], bytes]] = {
    "no PEM": lambda: b"hello",
    "too short": lambda: _pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505  # to be refused
    "not RSA": lambda: _pem(ec.generate_private_key(ec.SECP256R1())),
    "with a password": lambda: _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048), b"secret"),
}


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    sealed = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed)


@pytest.mark.parametrize("case", KEYS)
def test_keys_that_are_none(files: tuple[Path, Path], case: str) -> None:
    """Only an RSA key of 2048 bits or more without a password; the message names the variable."""
    files[0].write_bytes(KEYS[case]())
    with pytest.raises(SettingsError, match="PANLESS_OPENDSR_KEY_FILE"):
        opendsr_files.read(DOMAIN, *files)


def test_a_certificate_that_is_none(files: tuple[Path, Path]) -> None:
    """A file without a certificate in it is named by its variable."""
    files[1].write_text("hello")
    with pytest.raises(SettingsError, match="PANLESS_OPENDSR_CERTIFICATE_FILE"):
        opendsr_files.read(DOMAIN, *files)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., object]:
    """Reads settings with these variables set."""

    def read(**changes: str) -> object:
        for name in REQUIRED:
            monkeypatch.setenv(f"PANLESS_{name}", f"sqlite:///{tmp_path}/x.db")
        for name, value in changes.items():
            monkeypatch.setenv(f"PANLESS_{name}", value)
        return read_settings()

    return read


@pytest.mark.parametrize("missing", ["DOMAIN", "KEY_FILE", "CERTIFICATE_FILE"])
def test_all_three_or_none(settings: Callable[..., Settings], missing: str) -> None:
    """One that is missing is named."""
    all_three = {"DOMAIN": DOMAIN, "KEY_FILE": "/k", "CERTIFICATE_FILE": "/c"}
    with pytest.raises(SettingsError, match=f"PANLESS_OPENDSR_{missing} is not set"):
        settings(**{f"OPENDSR_{name}": value for name, value in all_three.items() if name != missing})


@pytest.mark.parametrize("domain", ["Vault.example.com", "vault.example.com/x", "-x.example.com", "a..b", "https://x"])
def test_domains_that_are_none(settings: Callable[..., Settings], domain: str) -> None:
    """A domain and nothing else."""
    with pytest.raises(SettingsError, match="PANLESS_OPENDSR_DOMAIN"):
        settings(OPENDSR_DOMAIN=domain, OPENDSR_KEY_FILE="/k", OPENDSR_CERTIFICATE_FILE="/c")


def test_callback_hosts(settings: Callable[..., Settings]) -> None:
    """Hosts, with a port, for one tenant or client; anything else is refused, a URL and a pattern among it."""
    given = "dsr.example.com,dsr.example.com:8443,ten_00abc=a.example.com,cli_00abc=b.example.com:444"
    assert settings(CALLBACK_HOSTS=given).callback_hosts == frozenset(given.split(","))
    for wrong in ("https://dsr.example.com", "*.example.com", "dsr.example.com/x", "usr_1=dsr.example.com", "a@b"):
        with pytest.raises(SettingsError, match="PANLESS_CALLBACK_HOSTS"):
            settings(CALLBACK_HOSTS=wrong)


def test_fides_url(settings: Callable[..., Settings]) -> None:
    """Https, or http on this machine: the token that goes there is not for others."""
    assert settings(FIDES_URL="https://fides.example.com/api/v1/").fides_url == "https://fides.example.com/api/v1"
    with pytest.raises(SettingsError, match="PANLESS_FIDES_URL"):
        settings(FIDES_URL="http://fides.example.com/api/v1")


def test_the_command(tmp_path: Path) -> None:
    """It makes both files, prints the settings for them, and says that this is for trying out."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    arguments = ["opendsr", "certificate", "--domain", DOMAIN, "--key", str(key), "--certificate", str(certificate)]
    done = panless(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"PANLESS_OPENDSR_DOMAIN={DOMAIN}\n" in done.stdout
    assert "self-signed" in done.stderr
    assert opendsr_files.read(DOMAIN, key, certificate).domain == DOMAIN
    assert "exists" in refusal(panless(*arguments))
    assert "lower case" in refusal(panless("opendsr", "certificate", "--domain", "Vault"))


@pytest.mark.parametrize(("age", "unsafe"), [(370, False), (400, True)])
def test_check_says_when_it_ends(
    deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, age: int, *, unsafe: bool
) -> None:
    """A month before its end it is a note, after it unsafe: controllers refuse what it signs."""
    files = tmp_path / "opendsr-key.pem", tmp_path / "opendsr-certificate.pem"
    opendsr_files.create(DOMAIN, *files, datetime.now(UTC) - timedelta(days=age))
    names = ("DOMAIN", "KEY_FILE", "CERTIFICATE_FILE")
    for name, value in {
        **deployment,
        **{f"PANLESS_OPENDSR_{name}": str(value) for name, value in zip(names, (DOMAIN, *files), strict=True)},
    }.items():
        monkeypatch.setenv(name, value)
    [found] = [each for each in examine() if "OpenDSR" in each.what]
    assert found.is_unsafe == unsafe
