"""The composition root: the one place where settings become the parts that everything else is handed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

from sqlalchemy import Engine

from api.parts import Parts, Shown
from api.rate_limits import RateLimits
from keys import keystore as keystores
from keys.keyring import Keyring
from migrations.roles import RoleRefused, Roles, grant
from migrations.run import current, head, upgrade
from panless import outgoing, stores
from panless.errors import WiringError
from panless.serving.limits_store import rate_limits
from panless.settings import opendsr_files, root_keys
from panless.settings.environment import Settings
from panless.settings.policies import read_policy
from rows.engine import open_database, reading, transaction
from rows.hosts import Hosts
from rows.tenants import is_kept_apart, keep_apart
from vault import deployments
from vault.caller import Caller
from vault.desk import Desk, desk_for
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.guard import Guard
from vault.outgoing import Post
from vault.policy import Policy
from vault.processing.connecting import Processors
from vault.processors.stripe.adapter import StripeProcessor
from vault.protocols import fides, opendsr, opendsr_callbacks
from vault.protocols.callbacks import Address, Tell
from vault.requests.execution import Work
from vault.requests.rights import RightsRequest
from vault.tallies import Tallies
from vault.tlog.watched import LogWatch
from vault.workshop import Workshop

PROBE_SECONDS = 2.0
"""Seconds in which a database must answer a probe: orchestrators ask that often, and give up soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """All parts of one running Panless."""

    settings: Settings
    records: Engine
    keystore: Engine
    keyring: Keyring
    ledger: Ledger
    guard: Guard
    processors: Processors
    policy: Policy
    clock: Callable[[], datetime]
    opendsr: opendsr.Processor | None
    issued: Callable[[str], Shown | None] | None
    limits: RateLimits
    post: Post
    """To servers that clients named."""
    post_anywhere: Post
    """To servers that the operator named."""
    attempted: Callable[[str, float], None]
    """Told what became of each attempt to deliver an event."""
    logs: LogWatch
    tallies: Tallies
    probes: Sequence[Engine]
    """Both databases on connections of their own, for who asks only whether they answer."""

    def desk(self, caller: Caller) -> Desk:
        """What a caller is served with."""
        return desk_for(self.records, self.keyring, caller)

    @property
    def parts(self) -> Parts:
        """What the door is handed."""
        return Parts(
            records=self.records,
            keyring=self.keyring,
            ledger=self.ledger,
            guard=self.guard,
            processors=self.processors,
            policy=self.policy,
            clock=self.clock,
            accept_raw_cards=self.settings.accept_raw_cards,
            tallies=self.tallies,
            opendsr=self.opendsr,
            callback_hosts=self.settings.callback_hosts or frozenset(),
            issued=self.issued,
            limits=self.limits,
            resumes_fides=self.settings.fides_url is not None,
            logs=self.logs,
            probes=self.probes,
        )

    @property
    def workshop(self) -> Workshop:
        """What the worker works with."""
        return Workshop(
            records=self.records,
            ledger=self.ledger,
            processors=self.processors,
            policy=self.policy,
            clock=self.clock,
            kek_epoch=timedelta(days=self.settings.kek_epoch_days),
            tellers=_tellers(self),
            post=self.post,
            attempted=self.attempted,
            logs=self.logs,
        )

    def close(self) -> None:
        """Give the database connections back."""
        for each in (self.records, self.keystore, *self.probes):
            each.dispose()


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def build(settings: Settings, clock: Callable[[], datetime] = utc_now) -> Components:
    """Put the parts together. Raises WiringError, KeyfileRefused, PolicyError."""
    records, keystore = _opened(settings, settings.connections, settings.database_timeout)
    deployment = _deployment(records, keystore)
    records = _kept_apart(records)
    tallies = Tallies(deployment)
    keyring = Keyring(
        keystore=keystore,
        roots=root_keys.load(settings.roots),
        deployment=deployment,
        kek_ttl=settings.kek_ttl,
        now=clock,
        unlocked=tallies.unlocked,
    )
    ledger = Ledger(
        store=stores.ledger_store(settings),
        keystore=keystore,
        keyring=keyring,
        place=f"{settings.ledger} {settings.ledger_endpoint or ''}".strip(),
    )
    grace = None if settings.ledger_grace is None else timedelta(seconds=settings.ledger_grace)
    processors = _processors(settings)
    return Components(
        settings=settings,
        records=records,
        keystore=keystore,
        keyring=keyring,
        ledger=ledger,
        guard=Guard(records=records, ledger=ledger, clock=clock, grace=grace),
        processors=processors,
        policy=_policy(settings, processors),
        clock=clock,
        opendsr=opendsr_files.load(settings),
        issued=_issued(settings),
        limits=rate_limits(settings),
        post=outgoing.post,
        post_anywhere=partial(outgoing.post, fit=outgoing.anywhere),
        attempted=_uncounted,
        logs=LogWatch(anchors=stores.anchor_store(settings)),
        tallies=tallies,
        probes=_opened(settings, 1, PROBE_SECONDS),
    )


def _opened(settings: Settings, connections: int, seconds: float | None = None) -> tuple[Engine, Engine]:
    """The records and the keystore, which answer within so many seconds. Often they lie on the same hosts."""
    hosts, prepares = Hosts(), settings.prepared_statements
    records, keystore = (
        open_database(url.value, connections, prepares=prepares, seconds=seconds, hosts=hosts)
        for url in (settings.records_url, settings.keystore_url)
    )
    return records, keystore


def _kept_apart(records: Engine) -> Engine:
    """The records, by tenant where their user sees one at a time."""
    with reading(records) as connection:
        return keep_apart(records) if is_kept_apart(connection) else records


def migrate(settings: Settings, clock: Callable[[], datetime] = utc_now, roles: Roles | None = None) -> None:
    """Bring both databases to their newest schema; give empty ones their deployment's id. Keystore first.

    With `roles`, then say what these may do there. Raises WiringError for roles that must not have it.
    """
    given_roots = root_keys.load(settings.roots)
    records, keystore = _opened(settings, 1)
    try:
        upgrade(keystore, "keystore")
        upgrade(records, "records")
        _found(records, keystore, clock())
        deployment = _deployment(records, keystore)
        Keyring(keystore=keystore, roots=given_roots, deployment=deployment, now=clock).create_tenant(deployment)
        if roles is not None:
            _grant(records, keystore, roles)
    finally:
        records.dispose()
        keystore.dispose()


def _grant(records: Engine, keystore: Engine, roles: Roles) -> None:
    try:
        grant(keystore, records, roles)
    except RoleRefused as error:
        raise WiringError(str(error)) from None


def _found(records: Engine, keystore: Engine, at: datetime) -> None:
    """Name an empty keystore and the records that belong to it; records without their keystore are refused."""
    with reading(records) as connection:
        of_records = deployments.deployment_of(connection)
    with transaction(keystore) as tx:
        of_keystore = keystores.deployment_of(tx)
        if of_keystore is None and of_records is None:
            of_keystore = new_id("dep", "00")
            keystores.found(tx, of_keystore)
    if of_records is None and of_keystore is not None:
        with transaction(records) as tx:
            if deployments.deployment_of(tx) is None:
                deployments.found(tx, of_keystore, at)


def _deployment(records: Engine, keystore: Engine) -> str:
    """The id that both databases name. Raises WiringError when they don't, or are not migrated."""
    if current(keystore, "keystore") != head("keystore") or current(records, "records") != head("records"):
        raise WiringError("A database is not at the newest schema. Run: panless migrate.")
    with reading(records) as connection:
        of_records = deployments.deployment_of(connection)
    with reading(keystore) as connection:
        of_keystore = keystores.deployment_of(connection)
    if of_records is None or of_records != of_keystore:
        raise WiringError(
            "The records and the keystore do not belong to the same deployment. "
            "Point PANLESS_RECORDS_URL and PANLESS_KEYSTORE_URL at the two databases of one."
        )
    return of_records


def _policy(settings: Settings, processors: Processors) -> Policy:
    """The policy, once it names everyone who may get data here. Raises PolicyError, WiringError."""
    policy = read_policy(settings.policy)
    if nameless := sorted(processors.keys() - policy.recipients.keys()):
        raise WiringError(f"Give the processor {nameless[0]} its legal name, under [recipients] in {settings.policy}.")
    return policy


def _issued(settings: Settings) -> Callable[[str], Shown | None] | None:
    """What reads tokens of the issuer that the settings name, if they name one. Raises SettingsError, OSError."""
    if settings.oauth_issuer is None or settings.oauth_jwks is None:
        return None
    from panless.issuing import issuer, keys  # noqa: PLC0415  # four megabytes, and most do without

    keys.check_file(settings.oauth_jwks)
    published = keys.IssuerKeys(keys.loader(settings.oauth_jwks), monotonic)
    return issuer.reader(issuer.trust_of(settings), published)


def _uncounted(_became: str, _waited: float) -> None:
    """Nobody measures here."""


def _tellers(house: Components) -> dict[str, Tell]:
    """How controllers are told of their requests, as far as the settings say."""
    tellers: dict[str, Tell] = {}
    processor, hosts, fides_api = house.opendsr, house.settings.callback_hosts or (), house.settings.fides_url
    if processor is not None:

        def call_back(desk: Desk, request: RightsRequest, told: str, state: str, address: Address) -> str | None:
            work = Work(desk=desk, ledger=house.ledger, policy=house.policy)
            return opendsr_callbacks.tell(work, house.post, processor, hosts, request, told, state, address["url"])

        tellers[opendsr.PROTOCOL] = call_back
    if fides_api is not None:
        tellers[fides.PROTOCOL] = partial(fides.resume, house.post_anywhere, fides_api)
    return tellers


def _processors(settings: Settings) -> Processors:
    lag = timedelta(seconds=settings.list_lag)
    processors = {"stripe": StripeProcessor(kind="stripe", base_url=settings.stripe_url, list_lag=lag)}
    if settings.sandbox_url is not None:
        processors["sandbox"] = StripeProcessor(kind="sandbox", base_url=settings.sandbox_url, list_lag=lag)
    return processors
