"""Authentication: bearer tokens, and tickets for browser streams, which cannot send a header."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from paceline import Client, WebSettings
from paceline.contracts.share import DEFAULT_TENANT

from paceline_adapters.web.problems import Problem

Scope = Literal["read", "write"]

#: Seconds for which a ticket is valid.
TICKET_SECONDS = 30.0
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="paceline"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that sent a request.

    Attributes:
        tenant: the tenant of the runs that it submits and sees.
        name: an id for limits; not secret.
        sees_all: whether it sees the runs of every tenant: it does if no token is required.
        operator: whether it may control what concerns all tenants.
    """

    tenant: str
    scope: Scope
    name: str
    sees_all: bool = False
    operator: bool = False

    @property
    def seen_tenant(self) -> str | None:
        """The tenant of the runs that the caller sees; ``None`` if it sees those of all."""
        return None if self.sees_all else self.tenant

    @property
    def actor(self) -> str:
        """The caller's name in the audit log."""
        if self.sees_all:
            return f"api {self.name}"
        kind = "operator" if self.operator else f"tenant {self.tenant}"
        return f"{kind} ({self.name[:8]})"

    def controlling(self, client: Client) -> Client:
        """A client of all tenants, limited to what the caller may control."""
        return client if self.operator else self.client(client)

    def client(self, client: Client) -> Client:
        """A client of all tenants, limited to the runs that the caller sees."""
        return client if self.sees_all else client.for_tenant(self.tenant)


class Authenticator:
    """Identifies callers by their tokens and tickets.

    Args:
        clock: seconds since 1970, because other servers check the tickets too.
    """

    def __init__(self, web: WebSettings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tokens = [_digest(one.token.get_secret_value()) for one in web.tokens]
        self._callers = {
            digest.hex()[:16]: Caller(
                one.tenant,
                "read" if one.scope == "read" else "write",
                digest.hex()[:16],
                operator=one.scope == "operator",
            )
            for digest, one in zip(self._tokens, web.tokens, strict=True)
        }
        # The key is the same on every server with the same tokens, and secret without them.
        self._key = _digest("tickets " + " ".join(sorted(one.hex() for one in self._tokens)))
        self._used: dict[str, int] = {}

    @property
    def required(self) -> bool:
        """Whether every request needs a token."""
        return bool(self._tokens)

    def caller(self, authorization: Sequence[str], client: str) -> Caller:
        """The caller at the address ``client`` that sent these ``Authorization`` headers.

        Raises:
            Problem: 401, a token is required and these are no valid one.
        """
        if not self._tokens:
            return Caller(DEFAULT_TENANT, "write", client, sees_all=True, operator=True)
        if len(authorization) > 1:
            raise _unauthorized("There is more than one Authorization header.")
        kind, _, token = "".join(authorization).partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _unauthorized("A bearer token is required.")
        given = _digest(token.strip())
        caller: Caller | None = None
        for digest in self._tokens:  # compare with all, so that the time is constant
            if hmac.compare_digest(digest, given):
                caller = self._callers[digest.hex()[:16]]
        if caller is None:
            raise _unauthorized("The token is not valid.")
        return caller

    def ticket(self, caller: Caller) -> str:
        """A ticket that opens one stream on any server with the same tokens."""
        expires = int(self._clock() + TICKET_SECONDS)
        claims = f"{caller.name if self.required else ''}.{expires}.{secrets.token_hex(16)}"
        return f"{claims}.{self._signature(claims)}"

    def redeem(self, ticket: str) -> Caller:
        """The caller that received a ticket; a ticket is valid once per server.

        Raises:
            Problem: 401, the ticket is forged, used or expired.
        """
        claims, _, signature = ticket.rpartition(".")
        valid = hmac.compare_digest(self._signature(claims).encode(), signature.encode())
        name, _, rest = claims.partition(".")
        caller = self._callers.get(name)
        if not valid or caller is None or not self._use(claims, int(rest.partition(".")[0])):
            raise _unauthorized("The ticket is not valid, was used already, or has expired.")
        return caller

    def _signature(self, claims: str) -> str:
        return hmac.new(self._key, claims.encode(), hashlib.sha256).hexdigest()

    def _use(self, claims: str, expires: int) -> bool:
        now = self._clock()
        for expired in [one for one, end in self._used.items() if end < now]:
            del self._used[expired]
        if expires < now or claims in self._used:
            return False
        self._used[claims] = expires
        return True


def _digest(token: str) -> bytes:
    # Digests have one length, so a comparison does not reveal the token's.
    return hashlib.sha256(token.encode()).digest()


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, headers=_CHALLENGE)
