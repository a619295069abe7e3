"""What `panless check` looks at: all that can be found wrong with a deployment from here, each with its mend.

A check is a function in one of these lists. It yields what it finds; what it can't look at, because something else is
wrong, is not guessed at.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import TypeVar

from panless.checks import audit_log, choices, disks, listening, money, people, roots, running, servers, transit, upkeep
from panless.checks.finding import Finding, OfHouse, OfSettings, broken
from panless.settings.environment import Settings, read_settings
from panless.shown.trouble import EXPECTED
from panless.wiring import build

T = TypeVar("T")

OF_SETTINGS: tuple[OfSettings, ...] = (
    upkeep.policy,
    disks.keyfile_apart,
    disks.ledger_apart,
    audit_log.anchored,
    audit_log.anchors_apart,
    audit_log.anchors_locked,
    disks.open_files,
    disks.open_folders,
    disks.shared_files,
    servers.apart,
    servers.users,
    servers.encrypted,
    listening.plain_http,
    listening.certificate,
    listening.proxies,
    listening.figures,
    choices.debugging,
    choices.root,
    choices.raw_cards,
    choices.kek_ttl,
    choices.limits,
    choices.one_writer,
)
OF_HOUSE: tuple[OfHouse, ...] = (
    running.guard,
    running.worker,
    transit.engines,
    audit_log.in_time,
    servers.tenants_apart,
    upkeep.kek_epochs,
    upkeep.backups,
    upkeep.ledger_lock,
    upkeep.opendsr_certificate,
    upkeep.client_keys,
    upkeep.revoked_clients,
    upkeep.holidays,
    people.requests,
    people.erasures,
    money.sandbox_in_live_use,
    money.open_calls,
    money.lost_commits,
)


def examine() -> list[Finding]:
    """All that can be found, each thing once."""
    try:
        settings = read_settings()
    except EXPECTED as error:
        return [broken(error)]
    return [*dict.fromkeys(chain(_looked(OF_SETTINGS, settings), _at_home(settings)))]


def _at_home(settings: Settings) -> Iterator[Finding]:
    try:
        with closing(build(settings)) as house:
            closed = [*_looked((roots.open_the_keystore,), house)]
            yield from closed or _looked(OF_HOUSE, house)
    except EXPECTED as error:
        yield broken(error)


def _looked(looks: Iterable[Callable[[T], Iterator[Finding]]], at: T) -> Iterator[Finding]:
    for look in looks:
        try:
            yield from look(at)
        except EXPECTED as error:
            yield broken(error)
