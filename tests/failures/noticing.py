"""Where whoever runs Panless looks: probes, figures and the log."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from failure_scene import LONGEST, ask

GOOD = (200, None)


def probe(url: str, path: str) -> tuple[int, str | None]:
    """What `/livez` or `/readyz` says."""
    return ask(url + path, "").outcome


def logged(log: Path, event: str) -> list[dict[str, Any]]:
    """What a program logged under this name."""
    lines = (line for line in log.read_text().splitlines() if f'"{event}"' in line and line.startswith("{"))
    return [json.loads(line) for line in lines]


def figure(bind: str, name: str) -> float:
    """The value of one figure, by its name with its labels, as Prometheus is given it; 0 where it is not there yet."""
    with urllib.request.urlopen(f"http://{bind}/metrics", timeout=LONGEST) as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0
