"""Who asks, and what they may: bearer tokens, and tickets for what cannot send a header."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from paceline import Run, Share, WebSettings

from paceline_adapters.web.problems import Problem

Scope = Literal["read", "write"]

#: Whose the runs are that name nobody.
DEFAULT_TENANT = "default"
#: Seconds that a ticket is good for, once.
TICKET_SECONDS = 30.0
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="paceline"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        tenant: whose runs it submits and sees.
        scope: what it may.
        name: what tells it from other clients, for limits; no secret.
        everyone: whether it sees everybody's runs: it does where there are no tokens.
    """

    tenant: str
    scope: Scope
    name: str
    everyone: bool = False

    def share(self, weight: float) -> Share:
        """What the caller's runs are submitted with."""
        return Share("" if self.tenant == DEFAULT_TENANT else self.tenant, weight)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Whose runs it sees, as stores name them; none where it sees everybody's.

        Runs that name nobody are the default tenant's.
        """
        if self.everyone:
            return ()
        return ("", DEFAULT_TENANT) if self.tenant == DEFAULT_TENANT else (self.tenant,)

    def sees(self, run: Run) -> bool:
        """Whether a run is one of those."""
        return self.everyone or run.share.tenant in self.tenants


class Access:
    """Tells callers by what they send.

    Args:
        web: the tokens.
        clock: seconds since 1970, for tickets: other servers read theirs.
    """

    def __init__(self, web: WebSettings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tokens: list[tuple[bytes, str, Scope]] = [
            (_digest(one.token.get_secret_value()), one.tenant, one.scope) for one in web.tokens
        ]
        self._named = {
            digest.hex()[:16]: Caller(tenant, scope, digest.hex()[:16])
            for digest, tenant, scope in self._tokens
        }
        # The same on every server that has the same tokens, and known to nobody without them.
        self._key = _digest("tickets " + " ".join(sorted(one[0].hex() for one in self._tokens)))
        self._used: dict[str, int] = {}

    @property
    def required(self) -> bool:
        """Whether every request needs a token."""
        return bool(self._tokens)

    def caller(self, authorization: Sequence[str], client: str) -> Caller:
        """Who sends this ``Authorization`` header.

        Args:
            authorization: the headers of this name: one, if it is to be understood.
            client: the client's address.

        Raises:
            Problem: 401, a token is needed and this is none.
        """
        if not self._tokens:
            return Caller(DEFAULT_TENANT, "write", client, everyone=True)
        if len(authorization) > 1:
            raise _unauthorized("There is more than one Authorization header.")
        kind, _, token = "".join(authorization).partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _unauthorized("This needs a bearer token.")
        given = _digest(token.strip())
        found: Caller | None = None
        for digest, _, _ in self._tokens:  # all of them, whichever fits
            if hmac.compare_digest(digest, given):
                found = self._named[digest.hex()[:16]]
        if found is None:
            raise _unauthorized("No such token.")
        return found

    def ticket(self, caller: Caller) -> str:
        """A ticket that opens one stream, soon, on any server that has the same tokens."""
        until = int(self._clock() + TICKET_SECONDS)
        written = f"{caller.name if self.required else ''}.{until}.{secrets.token_hex(16)}"
        return f"{written}.{self._signature(written)}"

    def redeem(self, ticket: str) -> Caller:
        """Who was given a ticket; it is good once on each server.

        Raises:
            Problem: 401, it is no ticket of ours, used or too old.
        """
        written, _, signature = ticket.rpartition(".")
        ours = hmac.compare_digest(self._signature(written).encode(), signature.encode())
        name, _, rest = written.partition(".")
        caller = self._named.get(name)
        if not ours or caller is None or not self._first_use(written, int(rest.partition(".")[0])):
            raise _unauthorized("No such ticket, or it was used or is too old.")
        return caller

    def _signature(self, written: str) -> str:
        return hmac.new(self._key, written.encode(), hashlib.sha256).hexdigest()

    def _first_use(self, written: str, until: int) -> bool:
        now = self._clock()
        for used in [one for one, end in self._used.items() if end < now]:
            del self._used[used]
        if until < now or written in self._used:
            return False
        self._used[written] = until
        return True


def _digest(token: str) -> bytes:
    # Of equal length, so that comparing tells nothing of the token's.
    return hashlib.sha256(token.encode()).digest()


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers=_CHALLENGE)
