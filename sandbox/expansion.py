"""What an answer shows: no fields of ours, and whole objects in place of ids where ``expand`` asks for them."""

from sandbox import errors, state
from sandbox.state import Account, Object
from sandbox.wire import public

KIND_OF_FIELD = {
    "charge": "charges",
    "customer": "customers",
    "default_payment_method": "payment_methods",
    "latest_charge": "charges",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
}
DEEPEST = 4
Tree = dict[str, "Tree"]


def shown(account: Account, thing: Object, expand: list[str]) -> Object:
    """The public form of an object or a list; raises 400 for a path that cannot be expanded."""
    tree: Tree = {}
    for path in expand:
        names = path.split(".")
        if len(names) > DEEPEST:
            raise errors.invalid(f"You cannot expand more than {DEEPEST} levels.", param="expand")
        branch = tree
        for name in names:
            branch = branch.setdefault(name, {})
    return _grown(account, thing, tree)


def _grown(account: Account, thing: Object, tree: Tree) -> Object:
    result = public(thing)
    if isinstance(result.get("data"), list):
        below = tree.get("data", {})
        return result | {"data": [_grown(account, row, below) for row in result["data"]]}
    for name, below in tree.items():
        result[name] = _expanded(account, thing, name, below)
    return result


def _expanded(account: Account, thing: Object, name: str, below: Tree) -> object:
    if name == "refunds" and thing.get("object") == "charge":
        return _refunds(account, thing, below)
    value = thing.get(name)
    if isinstance(value, dict):
        return _grown(account, value, below)
    if name not in KIND_OF_FIELD or name not in thing:
        raise errors.invalid(f"This property cannot be expanded ({name}).", param="expand")
    found = account.tables[KIND_OF_FIELD[name]].get(value or "")
    return _grown(account, found, below) if found else value


def _refunds(account: Account, charge: Object, below: Tree) -> Object:
    rows = list(state.newest_first(account, "refunds", {"charge": charge["id"]}))
    page = {"object": "list", "data": rows[:10], "has_more": len(rows) > 10, "url": "/v1/refunds"}  # noqa: PLR2004 - a page
    return _grown(account, page, below)
