"""Stripe's redaction jobs, a preview: docs.stripe.com/api/privacy/redaction-job.

An account that doesn't have the preview is told that there is no such address: a 404 without a code, which is
`redaction_unavailable` here. A job or customer that there is not has the code `resource_missing`.
"""

import stripe

from vault.processing.answers import Failure, Redaction, Refused
from vault.processors.stripe import outcomes
from vault.processors.stripe.errors import Object
from vault.processors.stripe.outcomes import definite, outcome
from vault.processors.stripe.transport import Answer, Line, segment

JOBS = "/v1/privacy/redaction_jobs"
VERSION = stripe.api_version.partition(".")[0] + ".preview"
"""Previews answer to the preview of a version only; the SDK that we pin names the stable one of the same day."""

NOT_FOUND = 404
UNAVAILABLE = Refused(code="redaction_unavailable")
WITHOUT_CODE = "invalid_request_error"


def redact(line: Line, customer_reference: str, key: str) -> Redaction | Failure:
    """A job for the customer and all that hangs on it.

    `fix`, because a declined charge leaves a PaymentIntent that waits for another card, and one of those would keep
    the job from running: Stripe cancels what is unfinished when the job runs. A charge younger than 90 days stays in
    the way.
    """
    params = {"objects": {"customers": [customer_reference]}, "validation_behavior": "fix"}
    return _ask(line, JOBS, params, key)


def run(line: Line, job: str, key: str) -> Redaction | Failure:
    """Run a job that is ready, which can't be undone; in another state it is refused with a 400."""
    return _ask(line, f"{JOBS}/{segment(job)}/run", {}, key)


def read(line: Line, job: str) -> Redaction | Failure:
    """Where a job stands."""
    return _ask(line, f"{JOBS}/{segment(job)}", {}, None)


def _ask(line: Line, path: str, params: Object, key: str | None) -> Redaction | Failure:
    answer = line.get(path, params, VERSION) if key is None else line.post(path, params, key, VERSION)
    met = definite(outcome(answer, "privacy.redaction_job", outcomes.redaction))
    unknown_address = isinstance(answer, Answer) and answer.status == NOT_FOUND
    return UNAVAILABLE if unknown_address and met == Refused(code=WITHOUT_CODE) else met
