"""The image, as far as a machine without a container engine can tell."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from house import ROOT, House, wait_for

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED = re.findall(r"^COPY (\w+) /opt/app/\w+$", "\n".join(LINES), re.MULTILINE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folders that the image has of ours, and nothing else of the checkout."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / "app" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "app"


def test_what_it_says() -> None:
    """Two stages, no root, no sandbox, a health check, one volume, no secret in its environment."""
    text = "\n".join(LINES)
    assert len(re.findall("^FROM ", text, re.MULTILINE)) == 2
    assert [line for line in LINES if line.startswith("USER ")] == ["USER panless"]
    assert [line for line in LINES if line.startswith("VOLUME ")] == ["VOLUME /data"]
    assert "HEALTHCHECK" in text
    assert set(COPIED) == {"rows", "keys", "vault", "api", "migrations", "panless"}  # all rooms but the sandbox
    assert not re.search(r"KEY|SECRET|PASSWORD|TOKEN", text.replace("HEALTHCHECK", ""))
    assert "gcc" not in text
    assert "--only-binary :all:" in text


def test_it_can_keep_a_ledger_in_a_bucket_and_ask_any_provider() -> None:
    """Each SDK is in a lock that is let into the build and installed there, with what all of it runs on."""
    installed = re.search(r"pip install .*--require-hashes .*", "\n".join(LINES))
    assert installed
    locks = re.findall(r"-r (\S+)", installed[0])
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!requirements/{lock}" for lock in locks} <= set(allowed)
    assert {f"requirements/{lock}" for lock in locks} <= set("\n".join(LINES).split())
    pins = [set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE)) for lock in locks]
    assert {name.partition("==")[0] for name in set().union(*pins)} >= {
        "boto3",
        "botocore",
        "flask",
        "hvac",
        "python-pkcs11",
    }
    assert set().union(*pins) <= set(
        re.findall(r"^\S+==\S+", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    )


def test_what_it_holds_serves(image: Path, own_house: House, free_port: int) -> None:
    """With only the copied folders, its entry point and command serve a deployment: no sandbox, no tests are missed."""
    environment = own_house.environment | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(image),
        "PANLESS_BIND": f"127.0.0.1:{free_port}",
    }
    entry = next(line for line in LINES if line.startswith("ENTRYPOINT ")).removeprefix("ENTRYPOINT ")
    assert (entry, LINES[-1]) == ('["python", "-m", "panless"]', 'CMD ["serve"]')
    command = [sys.executable, "-m", "panless", "serve"]
    with (image.parent / "log.txt").open("w") as log:
        program = subprocess.Popen(command, cwd=image, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{free_port}/readyz")
    finally:
        program.terminate()
        assert program.wait(20) == 0


def test_the_distribution_has_all_of_it(tmp_path: Path) -> None:
    """What pip would install elsewhere has every file of every room, templates and migrations among them."""
    for name in (*COPIED, "sandbox", "requirements", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").iterdir()
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {file for room in (*COPIED, "sandbox") for file in (ROOT / room).rglob("*") if file.is_file()}
    ours = {file.relative_to(ROOT).as_posix() for file in files if file.suffix not in {".pyc", ".mako"}}
    assert len(ours) > 200
    assert ours - held == set()
