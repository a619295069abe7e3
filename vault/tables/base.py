"""What all tables have in common: how constraints are named, what a sealed value takes, whose a row is."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, MetaData, TextClause, text

from rows.columns import Id, Sealed

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def ids(*names: str) -> list[Column[object]]:
    """The primary key of rows that ids of ours name, the tenant's before these."""
    return [Column(name, Id, primary_key=True) for name in ("tenant_id", *names)]


def partial_index(name: str, *columns: str, where: TextClause, unique: bool = False) -> Index:
    """An index of the rows that fit a condition, which both databases take word for word."""
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def sealed(name: str) -> list[Column[object]]:
    """A sealed value and the version of it that its context names; both empty once the value is destroyed."""
    return [Column(name, Sealed), Column(f"{name}_version", Integer, nullable=False, server_default=text("1"))]


def of_tenant() -> ForeignKeyConstraint:
    """The tenant that a row names is there."""
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"])


def of_customer() -> ForeignKeyConstraint:
    """The customer that a row names is there."""
    return ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.customer_id"])


def of_account() -> ForeignKeyConstraint:
    """The processor account that a row names is there."""
    return ForeignKeyConstraint(
        ["tenant_id", "account_id"], ["processor_accounts.tenant_id", "processor_accounts.account_id"]
    )
