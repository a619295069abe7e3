"""What processors told us, and what we tell tenants."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.tables.base import ids, metadata, of_account, of_tenant, partial_index, sealed

_unread = text("state = 'pending'")
_ended = text("state IN ('applied', 'ignored')")
_left = text("state IN ('unmatched', 'given_up')")

webhook_inbox = Table(
    "webhook_inbox",
    metadata,
    *ids("account_id"),
    Column("event_digest", Digest, primary_key=True),  # of the processor's id of the event, keyed
    Column("type", Word, nullable=False),
    *sealed("named"),  # the objects that it names, by the processor's ids; gone once it is applied or ignored
    Column("state", Word, nullable=False),  # pending | applied | ignored | unmatched | given_up
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    partial_index("ix_webhook_inbox_pending", "next_attempt_at", where=_unread),
    partial_index("ix_webhook_inbox_ended", "received_at", where=_ended),
    partial_index("ix_webhook_inbox_left", "received_at", where=_left),
    of_account(),
)

_unsent = text("state = 'pending'")

events = Table(
    "events",
    metadata,
    *ids("event_id"),
    Column("live", Boolean, nullable=False),
    Column("type", Word, nullable=False),
    Column("resource_id", Id, nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON: ids, states and amounts, nothing of a person
    Column("state", Word, nullable=False),  # pending: no deliveries were made of it yet | out
    Column("created_at", UtcDateTime, nullable=False),
    partial_index("ix_events_pending", "created_at", where=_unsent),
    Index("ix_events_created", "tenant_id", "live", "created_at", "event_id"),
    Index("ix_events_type", "tenant_id", "live", "type", "created_at", "event_id"),
    Index("ix_events_resource", "tenant_id", "live", "resource_id", "created_at", "event_id"),
    of_tenant(),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    *ids("endpoint_id"),
    Column("live", Boolean, nullable=False),
    *sealed("address"),
    *sealed("secrets"),  # newest first, with the end of each older one
    Column("types", Text, nullable=False),  # a space between them; empty for all
    Column("state", Word, nullable=False),  # enabled | disabled
    Column("failing_since", UtcDateTime),
    Column("next_call_at", UtcDateTime),  # until then somebody has its turn, or it is left alone; empty: none does
    Column("created_at", UtcDateTime, nullable=False),
    of_tenant(),
)

event_deliveries = Table(
    "event_deliveries",
    metadata,
    *ids("event_id", "endpoint_id"),
    Column("created_at", UtcDateTime, nullable=False),  # when its event was
    Column("state", Word, nullable=False),  # pending | delivered | failed
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_status", Integer),  # HTTP's, of the last answer
    Column("last_error", Word),  # where there was none
    Column("first_attempt_at", UtcDateTime),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    partial_index("ix_event_deliveries_due", "tenant_id", "endpoint_id", "next_attempt_at", where=_unsent),
    Index("ix_event_deliveries_endpoint", "tenant_id", "endpoint_id", "created_at", "event_id"),
    ForeignKeyConstraint(["tenant_id", "event_id"], ["events.tenant_id", "events.event_id"]),
    ForeignKeyConstraint(
        ["tenant_id", "endpoint_id"], ["webhook_endpoints.tenant_id", "webhook_endpoints.endpoint_id"]
    ),
)
