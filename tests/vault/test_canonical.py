import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from vault.canonical import canonical

NAMES = st.text(st.characters(max_codepoint=127), max_size=12)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, PLAIN, max_size=6))
def test_it_is_the_form_of_rfc_8785(value: dict[str, object]) -> None:
    """For all that leaves and ledger entries hold, the bytes are those of an independent implementation."""
    assert canonical(value) == rfc8785.dumps(value)
