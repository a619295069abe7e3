"""What recipients may answer and the words for it: of the real functions, and of copies with one thing exchanged."""

import ast
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from house import Tenant
from records_scene import worker_of

from vault.caller import Caller
from vault.desk import Desk
from vault.erasing import completion, recipients
from vault.processing.answers import (
    CustomerOpened,
    Forgotten,
    Held,
    NotFound,
    NotReached,
    Redaction,
    Refused,
    Unknown,
)

Words = tuple[str, str | None, str | None]
"""The result, what it waits for, by what it was looked for."""

REFUSED, KEY_REFUSED = Refused(code="parameter_unknown"), Refused(code="refused", credentials=True)
AWAY, SILENT = NotReached(reason="refused"), Unknown(reason="timeout")
UNSAID: Sequence[tuple[object, Words]] = (
    (REFUSED, ("pending", "human", None)),
    (KEY_REFUSED, ("pending", "credentials", None)),
    (AWAY, ("pending", None, None)),
    (SILENT, ("pending", None, None)),
)
SAID: Sequence[tuple[object, Words]] = (
    (Forgotten(), ("erased", None, None)),
    (Forgotten(already=True), ("already_gone", None, None)),
    *UNSAID,
)


class Simulated:
    """A processor that answers each method as it is told to; what it was not told, it must not be asked."""

    abilities = frozenset({"redaction"})

    def __init__(self, answers: Mapping[str, object]) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name not in self._answers:
            raise AssertionError(f"asked for {name}")
        return lambda *_args, **_kwargs: self._answers[name]


@dataclass(frozen=True)
class Cell:
    """What is asked, when and about what, and what must come of it."""

    answers: Mapping[str, object]
    words: tuple[object, ...]
    what: str = "customer"
    days: float = 0.5
    proven: bool = True
    row: Mapping[str, object] = field(default_factory=dict)
    erasure: Mapping[str, object] = field(default_factory=dict)
    able: bool = True


def telling_cells() -> Iterator[Cell]:
    """Every answer to every call that tells a processor of an erasure."""
    free, one, some = {"held": Held(subscriptions=0)}, "payment_method", {"held": Held(subscriptions=2)}
    lost, found = {"reference": None}, {"search_customer": CustomerOpened(customer_reference="cus_there")}
    gone = {"forget": Forgotten(), "forget_customer": Forgotten()}
    missing = [
        (40.0, False, ("pending", "proof", None)),
        (0.5, True, ("pending", "search", None)),
        (2.0, True, ("not_found", None, "name")),
    ]
    for answer, words in SAID:
        yield Cell({**free, "forget_customer": answer}, words)
        yield Cell({**free, "forget": answer}, words, what=one)
        yield Cell({**free, **found, "forget_customer": answer}, words, row=lost)
    for days, proven, words in missing:
        for name, what in (("forget_customer", "customer"), ("forget", one)):
            yield Cell({**free, name: NotFound()}, words, what=what, days=days, proven=proven)
        tagged: Words = (words[0], words[1], "tag" if words[2] else None)
        yield Cell({**free, "search_customer": NotFound()}, tagged, row=lost, days=days, proven=proven)
        held_back = ("erased", None, None) if words[0] == "not_found" else words
        yield Cell({**gone, "held": NotFound()}, held_back, days=days, proven=proven)
    for answer, words in UNSAID:
        yield Cell({**free, "search_customer": answer}, words, row=lost)
        yield Cell({"held": answer}, words)
        yield Cell({"held": answer}, words, what=one)
    for what in ("customer", one):
        waiting = ("pending", "subscriptions", None)
        yield Cell(some, waiting, what=what)
        yield Cell({**some, **gone}, ("erased", None, None), what=what, erasure={"cancel_subscriptions": True})
        yield Cell({}, ("pending", "processor", None), what=what, able=False)
        yield Cell({**free, "forget": AWAY, "forget_customer": AWAY}, waiting, what=what, row={"waits_for": waiting[1]})
    told = {"cancel_subscriptions": True}
    yield Cell({}, ("pending", "processor", None), able=False, erasure=told)
    yield Cell({"search_customer": AWAY}, ("pending", None, None), row=lost, erasure=told)


def redaction_cells() -> Iterator[Cell]:
    """Every answer to every step of a redaction: the result, what it waits for, whether it begins anew next week."""
    under_way, anew = ("scheduled", None, False), ("scheduled", None, True)
    for code in ("redaction_unavailable", "resource_missing"):
        yield Cell({"redact": Refused(code=code)}, ("not_available", None, False))
        yield Cell({"redact": Refused(code=code)}, ("scheduled", "proof", False), proven=False)
    for state, words in (
        ("validating", under_way),
        ("ready", under_way),
        ("redacting", under_way),
        ("succeeded", ("redacted", None, False)),
        ("failed", anew),
    ):
        job = Redaction(job="job_1", state=state)
        yield Cell({"redaction": job, "run_redaction": SILENT}, words, row={"job": "job_1"})
        yield Cell({"redact": job}, words)
    for answer, words in ((REFUSED, anew), (KEY_REFUSED, under_way), (AWAY, under_way), (SILENT, under_way)):
        yield Cell({"redact": answer}, words)
        yield Cell({"redaction": answer}, words, row={"job": "job_1"})
    yield Cell({"redaction": Refused(code="resource_missing")}, anew, row={"job": "job_1"})
    yield Cell({}, ("lost", None, False), row={"reference": None})
    yield Cell({}, under_way, able=False)


@dataclass(frozen=True)
class Stage:
    """An erasure that was decided, its recipients' rows, and who tells them."""

    tenant: Tenant
    erasure: Any
    listed: Sequence[Any]

    def said(self, module: Any, cell: Cell) -> tuple[object, ...]:
        """What `module`, in place of `telling`, makes of a cell."""
        caller = worker_of(self.tenant)
        decided = {"requested_at": caller.at - timedelta(days=cell.days)}
        erasure = SimpleNamespace(**{**self.erasure._asdict(), **decided, **cell.erasure})
        listed = [self._row(row, cell) for row in self.listed if row.what in ("customer", cell.what)]
        answers = module.tell(self._desk(caller), self._processors(cell), erasure, listed)
        [answer] = answers.values()
        return answer.get("result", "pending"), answer.get("waits_for"), answer.get("looked_for")

    def _desk(self, caller: Caller) -> Desk:
        return self.tenant.house.components.desk(caller)

    def stepped(self, module: Any, cell: Cell) -> tuple[object, ...]:
        """What `module`, in place of `redactions`, makes of a cell."""
        caller, keyring = worker_of(self.tenant), self.tenant.house.components.keyring
        [row] = [self._row(row, cell) for row in self.listed if row.what == "redaction"]
        if job := cell.row.get("job"):
            dek = keyring.dek(self.tenant.id, self.erasure.dek_id)
            value = {**recipients.open_reference(keyring, dek, row), "job": str(job)}
            row = SimpleNamespace(**{**vars(row), **recipients.replaced_reference(keyring, dek, row, value)})
        [answer] = module.redact(self._desk(caller), self._processors(cell), self.erasure, [row]).values()
        later = answer.get("next_attempt_at", caller.at) > caller.at + timedelta(days=6)
        return answer.get("result", "scheduled"), answer.get("waits_for"), later

    def _row(self, row: Any, cell: Cell) -> Any:
        at = worker_of(self.tenant).at
        due = at - timedelta(days=1) if row.what in {cell.what, "redaction"} else at + timedelta(days=1)
        proven = {"proven_at": at if cell.proven else None, "next_attempt_at": due}
        changes = cell.row if row.what in {cell.what, "redaction"} else {}
        return SimpleNamespace(**{**row._asdict(), **proven, **changes})

    def _processors(self, cell: Cell) -> dict[str, Any]:
        return {"sandbox": Simulated(cell.answers)} if cell.able else {}


def stage(tenant: Tenant, erasure_id: str) -> Stage:
    records = tenant.house.components.records
    whole = completion.read(records, tenant.id, erasure_id)
    return Stage(tenant=tenant, erasure=whole, listed=recipients.of_erasure(records, whole))


class _Exchange(ast.NodeTransformer):
    """Exchanges the `number`th place that can be exchanged for its `choice`th other; `places` counts their choices."""

    def __init__(self, words: Sequence[str], names: Sequence[str], number: int = -1, choice: int = 0) -> None:
        self.words, self.names, self.number, self.choice = words, names, number, choice
        self.places: list[tuple[int, int]] = []

    def _at(self, node: Any, found: str, among: Sequence[str]) -> str | None:
        others = [each for each in among if each != found]
        self.places.append((getattr(node, "lineno", 0), len(others)))
        return others[self.choice] if len(self.places) - 1 == self.number else None

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if node.value in self.words and (other := self._at(node, str(node.value), self.words)):
            return ast.copy_location(ast.Constant(other), node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self.names and (other := self._at(node, node.id, self.names)):
            return ast.copy_location(ast.Name(other, ast.Load()), node)
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        kinds = ("Forgotten", "NotFound", "Refused")
        assert isinstance(node.cls, ast.Name)
        if other := self._at(node, node.cls.id, kinds):
            node.cls = ast.copy_location(ast.Name(other, ast.Load()), node)
            node.kwd_attrs, node.kwd_patterns = [], []
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        turned = {ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Lt: ast.GtE, ast.In: ast.NotIn}.get(type(node.ops[0]))
        if turned is not None and self._at(node, "as it is", ("as it is", "turned")):
            node.ops = [turned()]
        return node


def mutants(module: ModuleType, words: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, ModuleType]]:
    """Copies of a module, each with one word, name, kind of answer or comparison exchanged for another one."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    counted = _Exchange(words, names)
    counted.visit(copy.deepcopy(tree))
    for number, (line, choices) in enumerate(counted.places):
        for choice in range(choices):
            mutant = _Exchange(words, names, number, choice).visit(copy.deepcopy(tree))
            made = ModuleType(module.__name__)
            exec(compile(ast.fix_missing_locations(mutant), f"mutant of line {line}", "exec"), made.__dict__)  # noqa: S102  # our own source
            yield f"{module.__name__}, line {line}, exchange {choice}", made
