"""Offers the sink ``webhook``."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from paceline import Context, Options, Register, Sink, hookimpl
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from paceline_adapters.sinks.signing import key_of


def _checked_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # The error does not show the URL, because it may contain a token.
        raise PydanticCustomError("credentials", "must be http://HOST/PATH or https://HOST/PATH")
    return url


def _checked_secret(secret: SecretStr) -> SecretStr:
    try:
        key_of(secret.get_secret_value())
    except ValueError as error:
        raise PydanticCustomError("credentials", "{rule}", {"rule": str(error)}) from None
    return secret


Secret = Annotated[SecretStr, AfterValidator(_checked_secret)]


class WebhookOptions(Options):
    """Options of the sink ``webhook``."""

    url: Annotated[SecretStr, AfterValidator(_checked_url)]
    """Address of the receiver; each delivery is a POST of JSON."""
    secret: Secret | None = None
    """Secret of the signature: ``whsec_`` and 24 to 64 bytes in Base64."""
    secrets: list[Secret] = Field(default_factory=list[SecretStr], max_length=10)
    """More secrets, for a rotation: each delivery is signed with all of them."""
    secret_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that contains the secret, or several after commas."""
    concurrency: int = Field(default=8, ge=1, le=100)
    """Maximum number of requests of a worker at once."""
    request_timeout: float = Field(default=10.0, gt=0, le=3600)
    """Seconds to wait for the receiver's answer."""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.secret is None and not self.secrets and self.secret_env is None:
            raise PydanticCustomError("unlimited", "must set secret, secrets or secret_env")
        return self


def _webhook(options: WebhookOptions, _: Context) -> Sink:
    from paceline_adapters.sinks.webhook import WebhookSink

    return WebhookSink(options)


@hookimpl
def paceline_register_sinks(register: Register[Sink]) -> None:
    """Offer the sink."""
    register(
        "webhook",
        _webhook,
        options=WebhookOptions,
        summary="Posts each version and each ended run to a URL, signed by Standard Webhooks.",
        advice="Verify signatures with the library standardwebhooks, and store what has a new id.",
    )
