"""What a replayed certificate says of redactions: how they ended, or that one was scheduled whose reference is lost.

Where the records knew the redaction, its reference is there still and nothing changes. Where they did not, the
processor's name for the person went with them, and a customer that was deleted there is not found by our tag: the
worker says so at once in a later certificate (`lost`), rather than let one stand that promises a redaction.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from rows.changes import insert_if_absent, update_row
from rows.conditions import given
from vault.erasing.recipients import redaction_of
from vault.ledger.effects import Entry
from vault.tables import erasure_recipients, processor_accounts


def learn(tx: Connection, entry: Entry, erasure_id: str) -> None:
    """Write down each redaction that the certificate names, at an account that these records know."""
    for told in entry.body["certificate"]["recipients"]:
        named = {"of_tenant": entry.body["tenant"], "of_account": told["processor_account"]}
        if told["what"] == "redaction" and tx.execute(_ACCOUNT, named).first() is not None:
            _learn(tx, entry, erasure_id, told)


def _learn(tx: Connection, entry: Entry, erasure_id: str, told: Mapping[str, Any]) -> None:
    account = told["processor_account"]
    key = {"tenant_id": entry.body["tenant"], "erasure_id": erasure_id, "recipient_id": redaction_of(account)}
    lost = {"account_id": account, "what": "redaction", "result": "scheduled", "next_attempt_at": entry.at}
    insert_if_absent(tx, erasure_recipients, key | lost)
    if told["result"] != "scheduled":
        ended = {"result": told["result"], "answered_at": entry.at, "reference": None}
        update_row(tx, erasure_recipients, key, ended)


_ACCOUNT = select(processor_accounts.c.account_id).where(given(processor_accounts, "account_id"))
