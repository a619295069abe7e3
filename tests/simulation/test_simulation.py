"""The whole house by a virtual clock, with faults by chance: money, refunds, certificates, intents end as promised."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from chance import Chance, Course, written
from clients import Story
from depth import deep
from model import Violation, judged
from running import OUTSIDE, but, run
from scenario import drawn
from shrinking import shrunk
from stage import CALM, dressed, operating_system, staged
from taken_back import MENDS, ROOT, Edit, take_back
from world import START, Stage

SEEDS = deep(2000)
PARTS = max(2, SEEDS // 200)
"""In parts that workers share. `make simulate SEEDS=0-99999` runs more."""

FIRST = 1_000_000
"""The first of them: of a range that was not used while the house was mended."""

ON_POSTGRESQL = 3
"""How many of them run on PostgreSQL too, where a database is copied in seconds, not in a millisecond."""

MOST_TOLD = 3


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with operating_system(), staged() as made:
        yield made


@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_violates_the_model(stage: Stage, part: int) -> None:
    """Whatever stalls, dies, gets lost, is restored or fails over: nobody pays twice, and what was told is true."""
    assert not (failed := _failed(stage, range(FIRST + part, FIRST + SEEDS, PARTS))), "\n".join(failed)


@pytest.mark.parametrize("edit", [edit for edits in MENDS.values() for edit in edits], ids=lambda edit: edit.file)
def test_each_mend_can_be_taken_back(edit: Edit, tmp_path: Path) -> None:
    """What the simulator was shown to miss still stands where it stood, once."""
    (tmp_path / edit.file).parent.mkdir(parents=True)
    shutil.copy(ROOT / edit.file, tmp_path / edit.file)
    take_back(tmp_path, edit)
    assert edit.now not in (tmp_path / edit.file).read_text()


def test_no_seed_violates_the_model_on_postgresql() -> None:
    """Nobody pays twice on PostgreSQL, where processes stall and die inside transactions and wait for each other."""
    with operating_system(), staged(on_postgresql=True) as on_servers:
        assert not (failed := _failed(on_servers, range(ON_POSTGRESQL))), "\n".join(failed)


def _failed(stage: Stage, seeds: Iterable[int]) -> list[str]:
    failed: list[str] = []
    for seed in seeds:
        outcome = run(stage, seed)
        if outcome.violations:
            whole = len(failed) < MOST_TOLD
            failed.append(_told(stage, seed, outcome.course, outcome.violations) if whole else f"seed {seed}")
    return failed


def _told(stage: Stage, seed: int, course: Course, violations: list[Violation]) -> str:
    kind = violations[0].kind
    short = shrunk(course, lambda shorter: kind in run(stage, seed, shorter).kinds, most=60)
    return f"seed {seed}: {violations[0]}\n{written(short)}\n  again: make simulate SEEDS={seed}"


def test_half_of_the_seeds_favour_one_thing() -> None:
    """Any of the things is ten times as likely in some seeds; in half of them all are as likely as ever."""
    things = [("a", 1.0), ("b", 2.0)]
    drawn_by = [Chance(seed).favouring("x", things) for seed in range(400)]
    favoured = [weights for weights in drawn_by if weights != things]
    assert 150 < len(favoured) < 250
    assert [("a", 10.0), ("b", 2.0)] in favoured
    assert [("a", 1.0), ("b", 20.0)] in favoured


def test_a_seed_makes_the_same_course_again(stage: Stage) -> None:
    """A seed that is run twice meets its faults at the same moments and ends alike: one can look at a failure again."""
    first, second = (run(stage, 34) for _ in range(2))
    assert first.course == second.course
    assert [line[:12] for line in first.trace] == [line[:12] for line in second.trace]
    assert first.kinds == second.kinds


def test_a_course_given_is_the_course_that_happens(stage: Stage) -> None:
    """A course that was written down repeats its run; one without its faults is calm."""
    whole = run(stage, 34)
    again = run(stage, 34, whole.course)
    assert again.course == whole.course
    assert again.kinds == whole.kinds
    orders = {name: value for name, value in whole.course.items() if name in {f"o{number}" for number in range(9)}}
    assert run(stage, 34, orders).violations == []


def test_the_model_sees_a_second_payment(stage: Stage) -> None:
    """A payment of an obligation that somebody makes at the processor itself, with our customer, is a violation."""
    world = dressed(Chance(0, {}), stage, CALM)
    story = Story(world=world, number=0, amount=1003, card=stage.cards[0], is_manual=False)
    world.scheduler.start("o0", story.run)
    world.scheduler.run(START + 100)
    (payment,) = [one for one in world.processor.account.tables["payment_intents"].values() if one["amount"] == 1003]
    world.processor.account.tables["payment_intents"]["pi_second"] = {**payment, "id": "pi_second"}
    found: list[Violation] = []
    world.scheduler.start("end", lambda: found.extend(judged(world, [story])))
    world.scheduler.run(START + 10_000)
    assert "paid twice" in {each.kind for each in found}


@pytest.mark.parametrize(("outside", "happens"), [(OUTSIDE, False), (frozenset(), True)])
def test_what_is_outside_the_promise_happens_only_where_it_is_asked_for(
    stage: Stage, outside: frozenset[str], *, happens: bool
) -> None:
    """No seed meets an event that is published as outside the promise, unless that is wanted."""
    worlds = [dressed(Chance(seed), stage, CALM) for seed in range(40)]
    met = {drawn(world, 0, but(outside))["do"] for world in worlds}
    assert bool(met & OUTSIDE) is happens
