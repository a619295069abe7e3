"""Numbered objects in a bucket of a store that speaks S3, each written once: the ledger, or the audit log's anchors.

A new entry is put with `If-None-Match: *`, so the store itself refuses to write over one; a store that does not do so
is found out and not used. boto3 finds credentials and region as it always does: environment, profile, role.
"""

import random
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from vault.errors import LedgerAway
from vault.stores.kinds import LEDGER, Kind, checked_folder

LONGEST_CALL = 22.0
"""Seconds after which a request to a silent store has ended: connect 2, ask whether to send 1, read 5, all of it twice,
and at most 6 between the two."""

_PATIENCE = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
_LARGEST_CONFLICT = 5


class S3Store:
    """Entries in `bucket` under `prefix`. One request takes LONGEST_CALL at most, for each address it has to try.

    With `lock_days` each entry is put under Object Lock, in COMPLIANCE mode: so long nobody can destroy it.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        lock_days: int | None = None,
        kind: Kind = LEDGER,
    ) -> None:
        """Take where entries lie; `endpoint` is the URL of a store other than AWS. Nothing is asked before a call."""
        self._bucket = bucket
        self._folder = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._lock_days = lock_days
        self._kind = kind
        self._connected: Any = None  # boto3 makes its clients at run time, they have no type
        self._is_proven = False

    def read(self, seq: int) -> bytes | None:
        """The entry of that number, None if there is none."""
        with self._away_when_unanswered():
            return self._get(seq)

    def write(self, seq: int, entry: bytes) -> bool:
        """Write entry `seq` durably, only if there is none yet; whether it was written.

        False may mean this very entry: boto3 asks again when an answer is lost. Who reads on will find it.
        """
        with self._away_when_unanswered():
            return self._write(seq, entry)

    def head(self, known: int) -> int:
        """The number of the last entry, found by listing on from `known`."""
        with self._away_when_unanswered():
            self._prove(max(known, 1))
            return self._last(known)

    def within(self, folder: str) -> "S3Store":
        """The store of a folder further down, over the same connections. Raises ValueError for a name that is none."""
        inner_folder = f"{self._folder}{checked_folder(folder)}/"
        with self._away_when_unanswered():
            self._client()
        inner = copy(self)
        inner._folder = inner_folder  # noqa: SLF001  # one of our own
        return inner

    def folders(self) -> list[str]:
        """The folders there are."""
        with self._away_when_unanswered():
            pages = self._client().get_paginator("list_objects_v2")
            listed = pages.paginate(Bucket=self._bucket, Prefix=self._folder, Delimiter="/")
            found = [each["Prefix"] for page in listed for each in page.get("CommonPrefixes", ())]
        return [name.removeprefix(self._folder).rstrip("/") for name in found]

    def numbers(self, after: int = -1) -> list[int]:
        """The numbers there are that are larger than `after`, in their order; some may be missing."""
        with self._away_when_unanswered():
            pages = self._client().get_paginator("list_objects_v2")
            begins = {"StartAfter": self._key(after)} if after >= 0 else {}
            listed = pages.paginate(Bucket=self._bucket, Prefix=self._folder, **begins)
            names = [each["Key"].removeprefix(self._folder) for page in listed for each in page.get("Contents", ())]
        return sorted(int(name.split(".")[0]) for name in names if self._kind.is_name(name))

    def seems_to_have(self, _seq: int) -> bool:
        """No: a bucket is never asked so fast."""
        return False

    def _get(self, seq: int) -> bytes | None:
        try:
            answer = self._client().get_object(Bucket=self._bucket, Key=self._key(seq))
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return None
            raise
        return bytes(answer["Body"].read())

    def _write(self, seq: int, entry: bytes) -> bool:
        for _ in range(_LARGEST_CONFLICT):
            written = self._put(seq, entry)
            if written is not None:
                return written
            time.sleep(random.uniform(0.05, 0.2))  # noqa: S311  # it only spreads those who collided
        raise LedgerAway("The ledger's bucket can't settle who writes the next entry. Try again.")

    def _put(self, seq: int, entry: bytes) -> bool | None:
        """Whether the entry was written; None while the store is still busy with another's write of that number."""
        try:
            self._client().put_object(
                Bucket=self._bucket,
                Key=self._key(seq),
                Body=entry,
                IfNoneMatch="*",
                ContentType=self._kind.media_type,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=b64encode(sha256(entry).digest()).decode(),
                **self._retention(),
            )
        except ClientError as error:
            if _code(error) == "ConditionalRequestConflict":
                return None
            if _code(error) in {"PreconditionFailed", "412"}:
                return False
            raise
        return True

    def _last(self, known: int) -> int:
        head = known
        pages = self._client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._folder, StartAfter=self._key(known)):
            for found in page.get("Contents", ()):
                if found["Key"] > self._key(head + 1):
                    return head
                head += found["Key"] == self._key(head + 1)
        return head

    def _prove(self, seq: int) -> None:
        """Once in a process, before the ledger is relied on: that the store keeps what this one builds on.

        An entry is put again as it is, which changes nothing whatever the store does, and must be refused. So a missing
        right to write is found now too, not at the first erasure. An empty ledger proves nothing yet.
        """
        if self._is_proven:
            return
        if self._lock_days is not None:
            self._prove_lock()
        entry = self._get(seq)
        if entry is None:
            return
        if self._write(seq, entry):
            raise LedgerAway("The ledger's store writes over what it has: it ignores If-None-Match. Take another.")
        self._is_proven = True

    def _prove_lock(self) -> None:
        try:
            self._client().get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) == "ObjectLockConfigurationNotFoundError":
                raise LedgerAway(
                    "The ledger's bucket has no Object Lock. Enable it there, or unset PANLESS_LEDGER_LOCK_DAYS."
                ) from None
            raise

    def _retention(self) -> dict[str, Any]:
        """What puts an entry under lock, by the store's time: it refuses an end that is past."""
        if self._lock_days is None:
            return {}
        until = datetime.now(UTC) + timedelta(days=self._lock_days)
        return {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}

    def _client(self) -> Any:  # noqa: ANN401  # as above
        """The client, made once there are credentials: boto3 would never look for them again in one made without."""
        if self._connected is None:
            session = Session()
            if session.get_credentials() is None:
                what = f"the {self._kind.what}'s bucket"
                raise LedgerAway(f"There are no credentials for {what}. Provide them where boto3 looks.")
            self._connected = session.client("s3", endpoint_url=self._endpoint, config=_PATIENCE)
        return self._connected

    def _key(self, seq: int) -> str:
        return f"{self._folder}{self._kind.name(seq)}"

    @contextmanager
    def _away_when_unanswered(self) -> Iterator[None]:
        """Turn all trouble with the store into LedgerAway; a bucket that is gone is not an empty ledger.

        What boto3 said is not handed on: it may quote the request, with the name of the access key.
        """
        what, setting = self._kind.what, self._kind.setting
        try:
            yield
        except LedgerAway:
            raise
        except ClientError as error:
            refused = f"{error.operation_name}: {_code(error)}"
            raise LedgerAway(f"The {what}'s bucket refuses {refused}. Mend it, or {setting}.") from None
        except Exception as error:  # noqa: BLE001  # besides its own, boto3 lets ValueError, OSError, RecursionError through
            raise LedgerAway(f"The {what}'s bucket does not answer: {type(error).__name__}.") from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code") or "unknown")
