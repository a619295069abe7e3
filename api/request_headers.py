"""Headers of a call that say something: which attempt it is, who acts, why. None of them may hold a card number."""

import re
from collections.abc import Collection

from flask import request

from api.bodies import check_values
from api.problems import Problem

PURPOSE = re.compile(r'([a-z0-9][a-z0-9-]{0,39}); ?ref="([A-Za-z0-9._:-]{1,64})"')
ACTOR = re.compile(r"[A-Za-z0-9._:-]{1,64}")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key() -> str | None:
    """What tells a retry of this call from another one."""
    return _header("Idempotency-Key", IDEMPOTENCY_KEY, "1 to 255 visible ASCII characters")


def actor() -> str | None:
    """Which person the client acts for, as the client names them."""
    return _header("Panless-Actor", ACTOR, "letters, digits and ._:- (no name, no address)")


def purpose_and_reference(known: Collection[str], *, required: bool) -> tuple[str | None, str | None]:
    """Why personal data is read: a code from the policy and a reference, both for the audit log."""
    value = request.headers.get("Access-Purpose")
    if value is None and not required:
        return None, None
    check_values([(("Access-Purpose",), value or "")])
    match = PURPOSE.fullmatch(value or "")
    codes = ", ".join(sorted(known))
    if match is None:
        raise Problem(
            400,
            "access_purpose_required",
            f'Say why: Access-Purpose: <code>; ref="<ticket>". Codes: {codes}. The ref: letters, digits and ._:-',
        )
    if match[1] not in known:
        raise Problem(400, "access_purpose_unknown", f"The policy knows these purposes: {codes}.")
    return match[1], match[2]


def _header(name: str, form: re.Pattern[str], wanted: str) -> str | None:
    value = request.headers.get(name)
    if value is None:
        return None
    check_values([((name,), value)])
    if not form.fullmatch(value):
        raise Problem(400, "invalid_header", f"{name} must be {wanted}.")
    return value
