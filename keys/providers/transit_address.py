"""One address of a transit server, and the token that this process has there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TypeVar

from hvac import Client
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, Unauthorized
from requests import RequestException

from keys.errors import RootKeyDenied
from keys.providers.of_process import OfProcess
from keys.providers.transit_tokens import SignIn, Token, renewed

LONGEST_CALL = 5.0
"""Seconds after which a call to a silent server has ended: connect 2, read 3."""
PAUSE = 1.0
"""Seconds between two tokens: a server that refuses every token is not asked for one by every request."""

T = TypeVar("T")
_REFUSED = (Forbidden, Unauthorized, InvalidRequest, InvalidPath)


@dataclass(frozen=True, slots=True)
class Session:
    """A client with its token, as it was when it was signed in or last renewed."""

    client: Client
    token: Token
    since: float
    whole: float | None
    """The seconds that the token had left when it was signed in."""

    def is_due(self, now: float) -> bool:
        """Whether half of what was left is over."""
        return self.token.left is not None and now >= self.since + max(self.token.left / 2, PAUSE)


class TransitAddress:
    """A server. Safe for threads, which may each sign in where they do at once, and after a fork."""

    def __init__(self, url: str, sign_in: SignIn, clock: Callable[[], float] = monotonic) -> None:
        self.url = url
        self._sign_in = sign_in
        self._clock = clock
        self._session: OfProcess[list[Session]] = OfProcess(list)  # one, or none yet

    def __repr__(self) -> str:
        return self.url

    def ask(self, call: Callable[[Client], T]) -> T:
        """What `call` gives; with another token where there is one and this one was refused.

        Raises RootKeyDenied where there is none, and whatever `call` raises.
        """
        session = self._current()
        try:
            return call(session.client)
        except (Forbidden, Unauthorized):
            another = self._another(session)
            if another is None:
                raise
        return call(another.client)

    def _current(self) -> Session:
        kept = self._session.get()
        if not kept:
            return self._signed_in()
        return self._longer(kept[0]) if kept[0].is_due(self._clock()) else kept[0]

    def _another(self, refused: Session) -> Session | None:
        """A session in place of one that was refused, unless its token is as new as can be."""
        [kept] = self._session.get()
        if kept is refused and self._clock() - refused.since < PAUSE:
            return None
        session = self._signed_in() if kept is refused else kept
        return session if session.token.text != refused.token.text else None

    def _longer(self, session: Session) -> Session:
        """Keep the token for longer, else take another, else go on with it while it lasts."""
        now = self._clock()
        try:
            token = renewed(session.client) if session.token.renewable else None
        except _REFUSED:
            token = None
        # Close to the end that no renewal moves, each gives less than the one before.
        if token is not None and (token.left is None or token.left >= (session.whole or 0) / 2):
            return self._keep(replace(session, token=token, since=now))
        try:
            return self._signed_in()
        except RootKeyDenied:
            left = (session.token.left or 0) - (now - session.since)
            if left <= 0:
                raise
            return self._keep(replace(session, token=replace(session.token, left=left), since=now))

    def _signed_in(self) -> Session:
        # A redirect would carry the token to whom we don't know.
        client = Client(url=self.url, token="", timeout=(2, 3), allow_redirects=False)
        now = self._clock()
        try:
            token = self._sign_in.token(client)
        except RequestException:  # an OSError to Python
            raise
        except (*_REFUSED, OSError):
            raise RootKeyDenied(f"{self.url} gives us no token: look at {self._sign_in.look_at}") from None
        client.token = token.text
        return self._keep(Session(client, token, now, token.left))

    def _keep(self, session: Session) -> Session:
        self._session.get()[:] = [session]
        return session
