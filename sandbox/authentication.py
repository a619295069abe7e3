"""The customer's part: Stripe's API cannot authenticate anyone, so that a page and a hook do it here."""

from urllib.parse import parse_qsl, urlencode, urlsplit

from sandbox import confirmation, setup_intents, wire
from sandbox.connection import Request, Response
from sandbox.hook import HookError, as_json, found, read
from sandbox.state import Account, Object, Sandbox

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Authentication</title>
<h1>Your bank wants to know that it is you</h1><p>{status}</p><form method="post">
<button name="result" value="succeed">Authenticate</button> <button name="result" value="fail">Fail</button>
</form></html>"""
RESULTS = ("succeed", "fail")


def show(sandbox: Sandbox, _: Request, name: str) -> Response:
    """The page that an intent's ``next_action`` leads to: two buttons."""
    return _page(_intent(sandbox, name)[1])


def complete(sandbox: Sandbox, request: Request, name: str) -> Response:
    """``{"result": "succeed"}`` or ``"fail"``, which answers the intent; the page's form goes on to ``return_url``."""
    is_json = request.body.lstrip()[:1] == b"{"
    form = read(request) if is_json else dict(parse_qsl(request.body.decode(errors="replace")))
    if form.get("result") not in RESULTS:
        raise HookError('Send {"result": "succeed"} or {"result": "fail"}.')
    account, intent = _intent(sandbox, name)
    if intent["status"] != "requires_action":
        raise HookError(f"{intent['id']} is not waiting for authentication: it is {intent['status']}.")
    url = (intent["next_action"].get("redirect_to_url") or {}).get("return_url")
    flow = confirmation if intent["object"] == "payment_intent" else setup_intents
    flow.authenticated(account, intent, succeeded=form["result"] == "succeed")
    if is_json:
        return as_json(wire.public(intent))
    return Response(303, b"", {"Location": _returned(url, intent)}) if url else _page(intent)


def _intent(sandbox: Sandbox, name: str) -> tuple[Account, Object]:
    return found(sandbox, "payment_intents" if name.startswith("pi_") else "setup_intents", name)


def _page(intent: Object) -> Response:
    page = PAGE.format(status=f"{intent['id']}: {intent['status']}").encode()
    return Response(200, page, {"Content-Type": "text/html; charset=utf-8"})


def _returned(url: str, intent: Object) -> str:
    noun = intent["object"]
    status = "failed" if intent["status"] == "requires_payment_method" else "succeeded"
    query = {noun: intent["id"], f"{noun}_client_secret": intent["client_secret"], "redirect_status": status}
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"
