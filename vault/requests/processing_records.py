"""Records of processing activities (GDPR art. 30(1)), out of the policy file and of what is really there.

They speak of the whole deployment, in numbers: no name or id of a tenant, a client or a customer is among them.
`panless/shown/records_page.py` writes them for people.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select

from rows.engine import reading
from vault.deployments import deployment_of
from vault.exports.notices import CATEGORIES
from vault.exports.packages import LIFE
from vault.policy import Policy
from vault.tables import customers, processor_accounts, tenants

ACTIVITY = "Keeping payment cards as tokens of an external processor, and charging and refunding them."
DATA_SUBJECTS = (
    "customers: people who pay",
    "staff who work with the records, as the code name that the calling program gives (actor)",
)
CARD_NUMBERS = {
    "category": "card number and security code",
    "kept": "in memory, for the one request that hands them to the processor; never written",
}
SECURITY = (
    "Encryption: what is about a person is sealed with AES-256-GCM under a key of that one customer.",
    "In clear are ids, times, states and amounts; searches go by keyed digests.",
    "Customers' keys are wrapped by the tenant's, and these by a root key outside both databases.",
    "Keys and records lie in two databases.",
    "Minimization: no card number is written anywhere.",
    "Access: each calling program has an API key of its own, for one tenant and for named scopes.",
    "Reading personal data needs a purpose that the policy knows, and a reference.",
    "Accountability: looking at a contact, searching and exporting are in an audit log before they answer.",
    "Looks at card metadata are counted in it, per program and minute; every entry is authenticated.",
    "Erasure: the customer's key and sealed values are destroyed, and both databases are read to see that.",
    "The processor is told of it, and a signed certificate says what was destroyed and what is kept.",
    "Restoring: a ledger outside both databases knows what was erased; a restored one serves only once it is again.",
    "Resilience: each step is written down before it is taken; what a crash leaves open is looked up and ended.",
)
"""Art. 30(1)(g), in general terms: what the program does. What the operator does beside it (disks, networks, staff) is
for the operator to add."""


def gather(records: Engine, policy: Policy, at: datetime, *, takes_card_numbers: bool) -> dict[str, Any]:
    """The records as data, `at` being when they were made. `takes_card_numbers`: whether raw cards are accepted."""
    with reading(records) as connection:
        deployment = deployment_of(connection)
        numbers = connection.execute(_NUMBERS).one()._asdict()
        accounts = [row._asdict() for row in connection.execute(_ACCOUNTS)]
    data = [{"category": each["category"], "kept": each["kept"]} for each in CATEGORIES]
    return {
        "generated_at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "deployment": deployment,
        "policy_version": policy.version,
        "activity": ACTIVITY,
        "controller": dict(policy.controller),
        "data_protection_officer": policy.data_protection_officer,
        "authority": policy.authority,
        "purposes": sorted(policy.purposes),
        "numbers": numbers,
        "data_subjects": list(DATA_SUBJECTS),
        "data_categories": data + [CARD_NUMBERS] * takes_card_numbers,
        "recipients": [_recipient(policy, account) for account in accounts],
        "retention": {name: asdict(rule) for name, rule in policy.retention.items()},
        "backups": {"records_days": policy.records_backup_days, "keystore_days": policy.keystore_backup_days},
        "packages_days": LIFE.days,
        "security_measures": list(SECURITY),
    }


def _recipient(policy: Policy, account: Mapping[str, Any]) -> dict[str, Any]:
    """Accounts of one kind and mode. Former ones are closed here; the processor may still hold what it must keep."""
    kind = account["kind"]
    return {
        "name": policy.recipients.get(kind, kind),
        "processor": kind,
        "mode": "live" if account["live"] else "test",
        "accounts": account["connected"],
        "former_accounts": account["former"],
        "third_country": policy.transfers.get(kind),
    }


_NUMBERS = select(
    select(func.count()).select_from(tenants).scalar_subquery().label("tenants"),
    select(func.count()).where(customers.c.state == "active").scalar_subquery().label("customers"),
    select(func.count()).where(customers.c.state != "active").scalar_subquery().label("erased"),
)
_ACCOUNTS = (
    select(
        processor_accounts.c.kind,
        processor_accounts.c.live,
        (func.count() - func.count(processor_accounts.c.deleted_at)).label("connected"),
        func.count(processor_accounts.c.deleted_at).label("former"),
    )
    .group_by(processor_accounts.c.kind, processor_accounts.c.live)
    .order_by(processor_accounts.c.kind, processor_accounts.c.live)
)
