"""`python tests/simulation/taken_back.py 0-19999 fencing`: what the seeds find once a mend is taken back.

A simulator that finds nothing proves nothing by itself. Each of these mends is taken out of a copy of the tree, and
seeds run there until one fails. Without a name each is taken back in turn. What that printed is in docs/decisions/0027.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("api", "keys", "migrations", "panless", "sandbox", "tests", "vault")


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands in a file now, once, and what would stand there without the mend."""

    file: str
    now: str
    then: str


_CHARGES, _FINDINGS, _INTENTS = (
    "vault/money/charge/charges.py",
    "vault/money/findings.py",
    "vault/processing/intents.py",
)
_KEY = Edit(
    _CHARGES,
    '        obligation=row["obligation_digest"],\n        number=',
    '        obligation=row["obligation_digest"] + row["charge_id"].encode(),\n        number=',
)
MENDS: Mapping[str, Sequence[Edit]] = {
    "key by obligation": [_KEY],
    "a replayed burn is not fresh": [
        Edit(
            _FINDINGS,
            'case Burnt():\n            return "used", False',
            'case Burnt():\n            return "fresh", False',
        )
    ],
    "a used key settles": [Edit(_FINDINGS, 'return "used", True', 'return "used", False')],
    "doubt, and the key by obligation, which covers it": [
        _KEY,
        Edit("vault/money/charge/charging.py", "    return [clear, chargeable", "    return [chargeable"),
        Edit(
            "vault/processing/doubt.py",
            "processor, account_id)) is None:",
            "processor, account_id)) is None and False:",
        ),
    ],
    "fencing, and that only an open intent ends, which covers it": [
        Edit(_INTENTS, '"intent_id": intent.intent_id, "word": intent.word}', '"intent_id": intent.intent_id}'),
        Edit(
            _INTENTS,
            '_FORGET = delete(intents).where(_THIS, _OPEN, intents.c.word == bindparam("of_word"))',
            "_FORGET = delete(intents).where(_THIS, _OPEN)",
        ),
        Edit(_INTENTS, '_OPEN = intents.c.state.in_(("pending", "manual"))', '_OPEN = intents.c.state != ""'),
        Edit("vault/recovering/resolving.py", "_OPEN, intent_table.c.word == intent.word)", "_OPEN)"),
        Edit(
            "vault/recovering/burning.py",
            '"intent_id": intent.intent_id, "word": intent.word}',
            '"intent_id": intent.intent_id}',
        ),
    ],
    "age, and burning, which covers it": [
        Edit("vault/processing/sending.py", "if caller.age() > BUDGET:", "if caller.age() > 100_000_000:"),
        Edit(
            "vault/recovering/burning.py",
            "after_burn(connected.processor.burn(connected.credentials, key=key, words=about))",
            '"fresh", False',
        ),
    ],
    "account binding": [
        Edit(
            "vault/processing/account_proofs.py",
            "        if own_id != known:\n            raise NotUsable",
            "        if own_id is None:\n            raise NotUsable",
        )
    ],
    "who stays at the processor is named": [
        Edit("vault/recovering/walking.py", "for made in left if is_known else ():", "for made in left and ():")
    ],
    "kept events": [
        Edit(
            "vault/recovering/webhooks_in.py",
            "ENDS = (Seen.APPLIED, Seen.IGNORED)",
            "ENDS = (Seen.APPLIED, Seen.IGNORED, Seen.WAITS)",
        )
    ],
}
"""By its name, how each mend is taken back."""


def main() -> int:
    """The exit code: 0 where each of them was missed by a seed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("seeds", help="a range: 0-19999")
    asked.add_argument("mends", nargs="*", help="their names; all where none is given")
    told = asked.parse_args()
    if unknown := set(told.mends) - set(MENDS):
        asked.error(f"{', '.join(sorted(unknown))}: these can be taken back: {', '.join(MENDS)}")
    missed = [name for name in told.mends or MENDS if not _is_missed(name, told.seeds)]
    sys.stdout.write(f"not missed by any seed: {', '.join(missed) or 'none'}\n")
    return 1 if missed else 0


def _is_missed(name: str, seeds: str) -> bool:
    """Whether a seed violates the model without the mend."""
    sys.stdout.write(f"== without: {name}\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="panless-taken-back-") as there:
        copy = Path(there)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for edit in MENDS[name]:
            take_back(copy, edit)
        run = [sys.executable, "tests/simulation/simulate.py", seeds, "--until-found"]
        environment = {**os.environ, "PYTHONPATH": "tests:.", "PYTHONHASHSEED": "0"}
        return subprocess.run(run, cwd=copy, env=environment, check=False).returncode == 1


def take_back(tree: Path, edit: Edit) -> None:
    """Raises LookupError where the file does not say it once: the mend was written otherwise since."""
    text = (tree / edit.file).read_text()
    if text.count(edit.now) != 1:
        raise LookupError(f"{edit.file} does not have, once: {edit.now}")
    (tree / edit.file).write_text(text.replace(edit.now, edit.then))


if __name__ == "__main__":
    sys.exit(main())
