"""What people are handed: packages, and the pieces that they are built of."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.tables.base import ids, metadata, of_customer, partial_index, sealed

packages = Table(
    "packages",
    metadata,
    *ids("package_id"),
    Column("request_id", Id, nullable=False),
    Column("kind", Word, nullable=False),  # access | portability
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),  # building | ready | taken | expired | erased
    Column("dek_id", LargeBinary(16)),  # its own; empty before the first chunk, and once the key is destroyed
    Column("link_digest", Digest),  # keyed; of the link that was given out last
    Column("chunks", Integer, nullable=False, server_default=text("0")),  # how many are written, in order from 0
    Column("progress", BigInteger, nullable=False, server_default=text("0")),  # how many rows of its files they hold
    Column("part", Integer, nullable=False, server_default=text("0")),  # which part the next chunk is of
    Column("after", Text),  # behind which row of that part it begins: moments and our own ids
    Column("lease_until", UtcDateTime, nullable=False),  # who builds it, or streams it out, has it until then
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Index("ix_packages_request", "tenant_id", "request_id", "created_at"),
    partial_index("ix_packages_open", "state", where=text("state = 'building' OR dek_id IS NOT NULL")),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)

package_customers = Table(
    "package_customers",
    metadata,
    *ids("package_id", "customer_id"),
    Index("ix_package_customers_customer", "tenant_id", "customer_id"),
    ForeignKeyConstraint(["tenant_id", "package_id"], ["packages.tenant_id", "packages.package_id"]),
    of_customer(),
)

package_chunks = Table(
    "package_chunks",
    metadata,
    *ids("package_id"),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *sealed("content"),  # under the package's DEK: the file's name and a piece of it
    ForeignKeyConstraint(["tenant_id", "package_id"], ["packages.tenant_id", "packages.package_id"]),
)
