"""Whose cards: customers, how they are found, and what the processors call them and their cards."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, SmallInteger, Table, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.tables.base import ids, metadata, of_account, of_customer, of_tenant, partial_index, sealed

customers = Table(
    "customers",
    metadata,
    *ids("customer_id"),
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),  # active | erasing | erased
    Column("dek_id", LargeBinary(16), nullable=False),  # the incarnation that an erasure destroys
    *sealed("contact"),
    Column("contact_usable", Boolean, nullable=False, server_default=text("true")),  # false: a correction was lost
    Column("restricted", Boolean, nullable=False, server_default=text("false")),
    Column("restriction_ground", Word),
    Column("restricted_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default=text("0")),  # of what the ledger says of it
    Column("last_entry_id", Id),
    Column("created_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
    partial_index("ix_customers_erased", "tenant_id", "customer_id", where=text("state = 'erased'")),
    of_tenant(),
)

OLD_FORMS = text("normalization < 2 AND field IN ('email', 'phone')")
"""Index rows by rules that there are newer ones of."""

_regional = text("region IS NOT NULL")

blind_index = Table(
    "blind_index",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("field", Word, primary_key=True),  # email | phone | reference | fingerprint
    Column("form", Word, primary_key=True),  # raw | sha256
    Column("digest", Digest, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("token_id", Id, nullable=False, server_default=text("''")),
    Column("live", Boolean, nullable=False),
    Column("key_id", LargeBinary(16), nullable=False),  # the DEK that made the digest
    Column("normalization", SmallInteger, nullable=False),  # the version of the rules (vault/people/identities.py)
    Column("region", Word),  # in which a phone was read that needed one; '': there was none
    Index("ix_blind_index_customer", "tenant_id", "customer_id"),
    # What is to be made anew: by newer rules, or in the tenant's region of now.
    partial_index("ix_blind_index_old", "tenant_id", "customer_id", where=OLD_FORMS),
    partial_index("ix_blind_index_region", "tenant_id", "region", where=_regional),
    # One customer per reference, one token per customer and card: what makes concurrent twins meet.
    partial_index(
        "uq_blind_index_one",
        "tenant_id",
        "live",
        "field",
        "digest",
        where=text("form = 'raw' AND field IN ('reference', 'fingerprint')"),
        unique=True,
    ),
    of_customer(),
)

processor_references = Table(
    "processor_references",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("owner_id", Id, primary_key=True),  # a customer or a token
    Column("account_id", Id, primary_key=True),
    Column("customer_id", Id, nullable=False),
    *sealed("reference"),
    Column("reference_digest", Digest),  # of the processor's id, keyed: what a webhook is matched by
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_processor_references_customer", "tenant_id", "customer_id"),
    Index("ix_processor_references_reference", "tenant_id", "reference_digest"),
    of_customer(),
    of_account(),
)

LOST = "lost"
"""The state of a token that was made and deleted after the backup that these records come from: only its id is left."""

_awaiting = text("state = 'requires_action'")
_set_up = text("setup_digest IS NOT NULL")

tokens = Table(
    "tokens",
    metadata,
    *ids("token_id"),
    Column("customer_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("state", Word, nullable=False),  # pending | requires_action | active | failed | detached | expired | lost
    Column("usage", Word, nullable=False),
    Column("live", Boolean, nullable=False),
    *sealed("card"),
    *sealed("metadata"),
    *sealed("outcome"),  # why it failed, or what the person must do next
    Column("setup_digest", Digest),  # of what the processor calls a storing that waits for its person, keyed
    Column("next_look_at", UtcDateTime),  # at the processor, for a person who did not come; its lease too
    Column("blocked_code", Word),  # the issuer said never again: not to be charged before the card is renewed
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_tokens_customer", "tenant_id", "customer_id", "created_at", "token_id"),
    partial_index("ix_tokens_setup", "tenant_id", "setup_digest", where=_set_up),
    partial_index("ix_tokens_awaiting", "created_at", where=_awaiting),
    of_customer(),
    of_account(),
)
