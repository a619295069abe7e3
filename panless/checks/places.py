"""Where databases are, and which of them fall together."""

from pathlib import Path

from sqlalchemy import URL, make_url

from panless.settings.environment import Settings


def databases(settings: Settings) -> tuple[tuple[str, URL], ...]:
    """Both, by name."""
    return ("records", make_url(settings.records_url.value)), ("keystore", make_url(settings.keystore_url.value))


def file_of(url: URL) -> Path | None:
    """The file of one that is a file."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def same_server(one: URL, other: URL) -> bool:
    """Whether they fall together: by their disk, if they are files."""
    files = file_of(one), file_of(other)
    if files[0] is not None and files[1] is not None:
        return same_disk(files[0], files[1])
    return one.get_backend_name() == other.get_backend_name() and _server(one) == _server(other)


def same_disk(one: Path, other: Path) -> bool:
    """Whether they lie on one; not if one of them is missing, which is found elsewhere."""
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def _server(url: URL) -> tuple[object, object]:
    """Where a database answers; a socket's folder may stand in the query."""
    return url.host or url.query.get("host", "localhost"), url.port or url.query.get("port", "5432")
