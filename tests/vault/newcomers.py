"""Customers who are new amid a drill: stored and charged in seconds that may be lost with all that is theirs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drill_scene import Asked, Shop, send
from house import token_order, word

from vault.money.charge.charges import obligation_digest


@dataclass(frozen=True)
class Newcomer:
    """Who was told that their card is stored and that they have paid."""

    shop: Shop
    token: str
    obligation: str

    @property
    def digest(self) -> str:
        """The obligation, as the processor's book has it."""
        tenant = self.shop.tenant
        return (obligation_digest(tenant.desk, self.obligation) or b"").hex()

    def charge(self, token: str) -> Asked:
        """Order the obligation again, with a fresh key."""
        return _ask(self.shop, "/v1/charges", _bill(token, self.obligation))

    def store_again(self) -> str:
        """The token of a card that is stored once more, as for somebody new."""
        return str(_stored(self.shop).body["id"])


def comes(shop: Shop, told: list[Newcomer]) -> Callable[[], bool]:
    """Somebody new stores a card and pays with it."""

    def come() -> bool:
        token, obligation = _stored(shop), word()
        if token.status != 201:
            return False
        paid = _ask(shop, "/v1/charges", _bill(token.body["id"], obligation))
        if paid.status == 201:
            told.append(Newcomer(shop, token.body["id"], obligation))
        return paid.status == 201

    return come


def judge_newcomers(told: Sequence[Newcomer]) -> int:
    """Nobody pays twice who is charged again, with a new card where theirs is gone; how many were gone.

    A charge that was written again without its words is answered to who asks for the same: it is that one.
    """
    gone = 0
    for each in told:
        again = each.charge(each.token)
        if again.status == 404:
            gone += 1
            again = each.charge(each.store_again())
        assert again.body.get("code") == "already_paid" or again.body.get("status") == "succeeded", again
    assert told
    book = told[0].shop.tenant.house.sandbox.book()["charges"]
    payments = Counter(each["metadata"].get("panless_for") for each in book)
    assert {payments[each.digest] for each in told} == {1}
    return gone


def _stored(shop: Shop) -> Asked:
    return _ask(shop, "/v1/tokens", token_order(customer={"reference": word()}))


def _bill(token: str, obligation: str) -> dict[str, Any]:
    return {"token": token, "amount": 1234, "currency": "eur", "obligation": obligation}


def _ask(shop: Shop, path: str, body: dict[str, Any]) -> Asked:
    return send(shop.tenant, shop.urls[0], {"method": "POST", "path": path, "body": body, "key": word()})
