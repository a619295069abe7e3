"""What is made up for our parsers, and how often over HTTP."""

from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

over_http = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
headers = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=80)
"""What an HTTP server hands on: one line of Latin-1."""

moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59)).flatmap(  # noqa: DTZ001  # the next line gives it one
    lambda when: st.integers(-1439, 1439).map(
        lambda offset: when.replace(tzinfo=timezone(timedelta(minutes=offset))).isoformat()
    )
)
