import re
from dataclasses import fields
from pathlib import Path

import pytest
from commands import ROOT

from panless.settings.environment import Settings, read_settings

ROWS = re.findall(r"^\| `(PANLESS_\w+)` \| (.*?) \| (.+?) \|$", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)


def test_every_setting_has_a_row() -> None:
    """The page names the settings that there are, each once, in their order."""
    assert [name for name, _, _ in ROWS] == [f"PANLESS_{field.name.upper()}" for field in fields(Settings)]


def test_the_defaults_are_the_real_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the page gives as default is what an unset variable means; those without one are required."""
    required = {name for name, default, _ in ROWS if default == "required"}
    for name, _, _ in ROWS:
        monkeypatch.delenv(name, raising=False)
    for name in required:
        monkeypatch.setenv(name, f"sqlite:///{tmp_path}/x.db")
    settings = read_settings()
    for name, default, _ in ROWS:
        if name not in required:
            value = getattr(settings, name.removeprefix("PANLESS_").lower())
            assert default == ("none" if value is None else f"`{_written(value)}`")


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.0f}" if isinstance(value, float) else str(value)
