"""A root key in AWS KMS. boto3 finds credentials as it always does, and the endpoint in AWS_ENDPOINT_URL_KMS."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.providers.of_process import OfProcess

LONGEST_CALL = 12.0
"""Seconds after which a call to a silent KMS has ended: connect 2 and read 3, both twice, and at most 2 in between."""
LONGEST_WRAP = 6144
"""Bytes: the most that KMS takes, and far more than it makes of 64."""
CONTEXT = {"panless": "kek"}
"""CloudTrail shows it, a policy can ask for it; it tells nothing, and is the same for every call, as the port wants."""

_PATIENCE = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
_UNREADABLE = {"InvalidCiphertextException", "IncorrectKeyException"}
_AWAY = {
    *(
        "ThrottlingException",
        "Throttling",
        "LimitExceededException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
    ),
    *("DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "RequestTimeoutException"),
}


class KmsKey:
    """A symmetric key by its ARN, which every call names: without it KMS would take any key that it may use.

    Safe for threads, and after a fork. A call takes LONGEST_CALL at most, for each address it has to try.
    """

    provider = "aws-kms"

    def __init__(self, arn: str, region: str) -> None:
        self.key_id = arn
        self._client: OfProcess[Any] = OfProcess(  # boto3 makes its clients at run time, they have no type
            lambda: Session(region_name=region).client("kms", config=_PATIENCE)
        )

    def __repr__(self) -> str:
        return f"KmsKey({self.key_id!r})"

    def wrap(self, plain: bytes) -> bytes:
        """KMS's own ciphertext. Raises RootKeyAway, RootKeyDenied."""
        with self._translated():
            answer = self._client.get().encrypt(KeyId=self.key_id, Plaintext=plain, EncryptionContext=CONTEXT)
            return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises RootKeyAway, RootKeyDenied, Unreadable."""
        if not 0 < len(wrapped) <= LONGEST_WRAP:
            raise Unreadable  # boto3 or KMS would call it a wrong request
        with self._translated():
            answer = self._client.get().decrypt(KeyId=self.key_id, CiphertextBlob=wrapped, EncryptionContext=CONTEXT)
            return bytes(answer["Plaintext"])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the SDK as ours, without what they carry."""
        try:
            yield
        except ClientError as error:
            raise self._meaning(error) from None
        except (NoCredentialsError, PartialCredentialsError):
            raise RootKeyDenied(
                f"there are no AWS credentials here for {self.key_id}: give this process some"
            ) from None
        except BotoCoreError as error:
            raise RootKeyAway(f"AWS KMS does not answer for {self.key_id} ({type(error).__name__})") from None

    def _meaning(self, error: ClientError) -> KeysError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _UNREADABLE:
            return Unreadable()
        if code in _AWAY or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return RootKeyAway(f"AWS KMS can't use {self.key_id} now ({code})")
        return RootKeyDenied(
            f"AWS KMS does not let us use {self.key_id} ({code}): look at the key's state, and at its policy, which "
            "must allow kms:Encrypt and kms:Decrypt to these credentials"
        )
