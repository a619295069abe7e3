"""Stripe's search, in the one form that finds a customer by our tag. Here it knows at once what Stripe knows later."""

import re
from itertools import islice

from sandbox import errors, state
from sandbox import params as parameters
from sandbox.listing import HIGHEST_LIMIT, LIMIT
from sandbox.params import Params
from sandbox.state import Account, Object

BY_METADATA = re.compile(r'metadata\["([^"\[\]]+)"\]:"([^"]+)"')


def customers(account: Account, params: Params) -> Object:
    """Customers not deleted, by ``metadata["key"]:"value"``, newest first: one page; any other query is a 400."""
    parameters.need(params, "query")
    query = BY_METADATA.fullmatch(params["query"])
    if query is None:
        raise errors.invalid('The sandbox searches for metadata["key"]:"value" only.', param="query")
    limit = params.get("limit", LIMIT)
    if params.get("page") or not 1 <= limit <= HIGHEST_LIMIT:
        raise errors.invalid("The sandbox's searches have one page, of 1 to 100.", param="page")
    living = (one for one in state.newest_first(account, "customers", {}) if not one.get("deleted"))
    found = list(islice((one for one in living if one["metadata"].get(query[1]) == query[2]), limit + 1))
    page = {"data": found[:limit], "has_more": len(found) > limit, "next_page": None}
    return {"object": "search_result", "url": "/v1/customers/search", **page}
