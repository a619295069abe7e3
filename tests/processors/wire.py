"""The processor's other clients: the shop's page, the person who authenticates, the one who sets faults."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

POOL = urllib3.PoolManager()
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Outside:
    """Whoever speaks to the processor beside us, with the account's own key."""

    url: str
    api_key: str

    def call(self, method: str, path: str, **fields: str) -> dict[str, Any]:
        return self._ask(method, path, urlencode(fields), {"Authorization": f"Bearer {self.api_key}"})

    def page_makes_method(self, number: str = "4242424242424242") -> str:
        """What the processor's own fields on the shop's page hand over."""
        card = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2035", "card[cvc]": "123"}
        return str(self.call("POST", "/v1/payment_methods", type="card", **card)["id"])

    def person_authenticates(self, reference: str, result: str = "succeed") -> None:
        self._ask("POST", f"/_authenticate/{reference}", json.dumps({"result": result}), JSON)

    def break_next(self, method: str, path: str, **fault: object) -> None:
        faults = {"faults": [{"method": method, "path": path, **fault}]}
        self._ask("POST", "/_faults", json.dumps(faults), JSON)

    def mend(self) -> None:
        self._ask("DELETE", "/_faults", "", {})

    def charges(self, customer: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.call("GET", f"/v1/charges?customer={customer}")["data"]
        return listed

    def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if "Content-Type" not in headers else {}
        answer = POOL.request(method, self.url + path, body=body or None, headers=headers, retries=False)
        assert answer.status == 200, answer.data
        told: dict[str, Any] = answer.json()
        return told
