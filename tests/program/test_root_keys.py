"""What PANLESS_ROOT_KEYS may say, and what each of it means."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import panless
from house import ROOT

from keys.providers import keyfile
from panless.errors import SettingsError, WiringError
from panless.settings import root_keys, transit_signin
from panless.settings.environment import read_settings
from panless.settings.root_keys import KeyfilePlace, KmsPlace, Pkcs11Place, TransitPlace
from panless.settings.transit_signin import AppRole, GivenToken, Kubernetes, TransitSignIn
from vault.personal import Secret

PIN, TOKEN = Secret("canary-pin"), Secret("canary-token")
SIGN_IN = GivenToken(token=TOKEN)
ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
HSM = "pkcs11:token=t;object=o?module-path=/m.so"


def test_each_place_is_read_in_its_order() -> None:
    """Four providers in one list, blanks between them or not; labels are percent-decoded, the region is the ARN's."""
    text = f"keyfile:/k, pkcs11:object=a%2Cb;token=my%20hsm?module-path=/m.so,aws-kms:{ARN} ,hashicorp-transit:https://h:8200/a/b/key"
    assert root_keys.read(text, PIN, SIGN_IN) == (
        KeyfilePlace(path=Path("/k")),
        Pkcs11Place(module=Path("/m.so"), token="my hsm", label="a,b", pin=PIN),
        KmsPlace(arn=ARN, region="eu-central-1"),
        TransitPlace(addresses=(("https://h:8200", SIGN_IN),), mount="a/b", key="key"),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "keyfile:",
        "/path",
        "keyfile:/a,,keyfile:/b",
        "pkcs11:",
        "pkcs11:token=canary;object=o",
        "pkcs11:token=canary?module-path=/m.so",
        "pkcs11:token=;object=canary?module-path=/m.so",
        "pkcs11:token=t;token=t;object=canary?module-path=/m.so",
        "pkcs11:token=t;object=o?module-path=/m.so&pin-value=canary",
        "pkcs11:token=t;object=o;id=canary?module-path=/m.so",
        "aws-kms:alias/canary",
        "aws-kms:arn:aws:kms:eu-central-1:123456789012:alias/canary",
        "hashicorp-transit:http://canary.example.com/transit/key",
        "hashicorp-transit:https://user:canary@h/transit/key",
        "hashicorp-transit:https://h/canary",
        "hashicorp-transit:https://h/transit/key?token=canary",
        "gcp-kms:canary",
    ],
)
def test_what_is_wrong_is_refused_without_quoting_it(wrong: str) -> None:
    """Each mistake is a sentence that names the setting and the place in it, and repeats nothing that was there."""
    with pytest.raises(SettingsError, match="PANLESS_ROOT_KEYS") as refusal:
        root_keys.read(wrong, PIN, SIGN_IN)
    assert "canary" not in str(refusal.value)


def test_the_same_key_twice_is_refused() -> None:
    """A root key wraps a KEK once."""
    with pytest.raises(SettingsError, match="twice"):
        root_keys.read("keyfile:/k,keyfile:/k", None, None)


def test_one_transit_key_at_several_addresses_is_one_root_key() -> None:
    """In the order of its first; addresses are counted through, as the tokens are in their file."""
    text = "hashicorp-transit:https://a/m/k,keyfile:/k,hashicorp-transit:https://b/m/k,hashicorp-transit:https://c/m/k2"
    first, second, third = (GivenToken(token=TOKEN, turn=turn) for turn in range(3))
    assert root_keys.read(text, None, SIGN_IN) == (
        TransitPlace(addresses=(("https://a", first), ("https://b", second)), mount="m", key="k"),
        KeyfilePlace(path=Path("/k")),
        TransitPlace(addresses=(("https://c", third),), mount="m", key="k2"),
    )


TRANSIT = {"PANLESS_ROOT_KEYS": "hashicorp-transit:https://h/m/k"}


@pytest.mark.parametrize(
    ("settings", "sign_in"),
    [
        ({"TOKEN": "t"}, GivenToken(token=Secret("t"))),
        ({"TOKEN_FILE": "FILE"}, GivenToken(token=Path("FILE"))),
        (
            {"APPROLE": "r", "SECRET_ID_FILE": "FILE"},
            AppRole(role_id="r", secret_id=Path("FILE"), mount="approle"),
        ),
        (
            {"APPROLE": "r", "SECRET_ID": "s", "AUTH_MOUNT": "elsewhere"},
            AppRole(role_id="r", secret_id=Secret("s"), mount="elsewhere"),
        ),
        (
            {"KUBERNETES_ROLE": "r", "KUBERNETES_TOKEN_FILE": "/jwt"},
            Kubernetes(role="r", jwt=Path("/jwt"), mount="kubernetes"),
        ),
        ({"KUBERNETES_ROLE": "r"}, Kubernetes(role="r", jwt=transit_signin.JWT, mount="kubernetes")),
    ],
)
def test_each_way_to_sign_in_is_read(
    monkeypatch: pytest.MonkeyPatch,
    deployment: dict[str, str],
    tmp_path: Path,
    settings: dict[str, str],
    sign_in: TransitSignIn,
) -> None:
    """What stands in a file is kept as its path, to be read anew."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("s")
    (tmp_path / "FILE").chmod(0o600)
    _set(monkeypatch, deployment | {f"PANLESS_TRANSIT_{name}": value for name, value in settings.items()})
    [place] = read_settings().roots
    assert isinstance(place, TransitPlace)
    assert place.addresses == (("https://h", sign_in),)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"TOKEN": "canary", "KUBERNETES_ROLE": "canary"}, "three ways to sign in"),
        ({"APPROLE": "canary"}, "needs both its ids"),
        ({"SECRET_ID": "canary"}, "needs both its ids"),
        ({}, "PANLESS_TRANSIT_TOKEN_FILE, PANLESS_TRANSIT_APPROLE or PANLESS_TRANSIT_KUBERNETES_ROLE"),
    ],
)
def test_no_way_to_sign_in_or_several_are_refused(
    monkeypatch: pytest.MonkeyPatch, deployment: dict[str, str], settings: dict[str, str], said: str
) -> None:
    """One is set, and it is whole."""
    _set(monkeypatch, deployment | {f"PANLESS_TRANSIT_{name}": value for name, value in settings.items()})
    with pytest.raises(SettingsError, match=said) as refused:
        read_settings()
    assert "canary" not in str(refused.value)


def _set(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """The environment, with a root key in a transit engine instead of the file."""
    monkeypatch.delenv("PANLESS_KEYFILE", raising=False)
    for name, value in (environment | TRANSIT).items():
        if name != "PANLESS_KEYFILE":
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("text", "missing"),
    [(HSM, "PANLESS_PKCS11_PIN_FILE"), ("hashicorp-transit:https://h/m/k", "PANLESS_TRANSIT_TOKEN_FILE")],
)
def test_a_missing_credential_is_named(text: str, missing: str) -> None:
    """An HSM without a PIN, or a transit engine without a token, is told which variable to set."""
    with pytest.raises(SettingsError, match=missing):
        root_keys.read(text, None, None)


def test_exactly_one_setting_names_the_root_keys(deployment: dict[str, str]) -> None:
    """A keyfile by PANLESS_KEYFILE or by PANLESS_ROOT_KEYS is the same; both, or none, is one sentence."""
    file = deployment.pop("PANLESS_KEYFILE")
    named = {"PANLESS_ROOT_KEYS": f"keyfile:{file}"}
    statuses = [panless("keys", "status", "--json", env=deployment | one) for one in ({"PANLESS_KEYFILE": file}, named)]
    assert statuses[0].stdout == statuses[1].stdout != ""
    both = panless("keys", "status", env=deployment | named | {"PANLESS_KEYFILE": file})
    none = panless("keys", "status", env=deployment)
    assert "PANLESS_KEYFILE and PANLESS_ROOT_KEYS are both set." in both.stderr
    assert "PANLESS_KEYFILE is not set, nor PANLESS_ROOT_KEYS" in none.stderr
    assert {both.returncode, none.returncode} == {1}


def test_a_provider_that_is_away_keeps_nothing_from_starting(deployment: dict[str, str]) -> None:
    """Beside a key file that opens the keystore stands a server that nobody runs: commands work."""
    file = deployment.pop("PANLESS_KEYFILE")
    both = f"hashicorp-transit:http://127.0.0.1:1/transit/key,keyfile:{file}"
    done = panless("check", env=deployment | {"PANLESS_ROOT_KEYS": both, "PANLESS_TRANSIT_TOKEN": "x"})
    assert "does not open" not in done.stdout
    assert "Mount the keyfile from elsewhere (PANLESS_ROOT_KEYS)." in done.stdout


def test_a_module_that_is_missing_is_wrong_wiring() -> None:
    """A path to no PKCS#11 module is told at the start."""
    with pytest.raises(WiringError, match=r"/m\.so is not there"):
        root_keys.load(root_keys.read(HSM, PIN, None))


@pytest.mark.parametrize(
    ("library", "text", "extra"),
    [
        ("pkcs11", HSM, "pkcs11"),
        ("boto3", f"aws-kms:{ARN}", "aws-kms"),
        ("hvac", "hashicorp-transit:https://h/m/k", "hashicorp-transit"),
    ],
)
def test_a_missing_library_is_told_by_its_extra(library: str, text: str, extra: str) -> None:
    """Without the SDK the sentence says what to install."""
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from panless.settings import root_keys, transit_signin; from vault.personal import Secret\n"
        "sign_in = transit_signin.GivenToken(token=Secret('x'))\n"
        f"root_keys.load(root_keys.read({text!r}, Secret('x'), sign_in))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"Run: pip install 'panless[{extra}]'." in done.stderr


def test_settings_show_no_credential(monkeypatch: pytest.MonkeyPatch, deployment: dict[str, str]) -> None:
    """However the settings are printed, PIN and token are not."""
    del deployment["PANLESS_KEYFILE"]
    places = f"{HSM},hashicorp-transit:https://h/m/k"
    secrets = {"PANLESS_PKCS11_PIN": PIN.value, "PANLESS_TRANSIT_TOKEN": TOKEN.value}
    monkeypatch.delenv("PANLESS_KEYFILE", raising=False)
    for name, value in (deployment | secrets | {"PANLESS_ROOT_KEYS": places}).items():
        monkeypatch.setenv(name, value)
    assert "canary" not in repr(read_settings())
    assert len(read_settings().roots) == 2


def test_a_key_file_is_split_and_joined(tmp_path: Path) -> None:
    """The commands write three shares, and make the file again from two; one alone is one sentence, and no file."""
    key, folder = tmp_path / "key", tmp_path / "shares"
    folder.mkdir()
    keyfile.create(key)
    assert panless("keys", "split", str(key), "--to", str(folder)).returncode == 0
    shares = [str(share) for share in sorted(folder.iterdir())]
    assert len(shares) == 3
    few = panless("keys", "join", shares[0], "--to", str(tmp_path / "few"))
    assert (few.returncode, few.stderr) == (1, "2 shares are needed, and here are 1: bring more.\n")
    assert not (tmp_path / "few").exists()
    assert panless("keys", "join", *shares[1:], "--to", str(tmp_path / "again")).returncode == 0
    assert (tmp_path / "again").read_bytes() == key.read_bytes()
