"""The file that describes a provider: the ``[provider]`` table of a scenario."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline.errors import SettingsError
from paceline.planning.virtual.model_server import MINUTE, ModelServer, Others, Steps
from paceline.validation import describe

Bounds = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Change(_Part):
    """A change of the provider at a time; fields that are not named stay."""

    at: float
    capacity: int | None = None
    rpm: int | None = None
    tpm: int | None = None


class Foreign(_Part):
    """Another client uses the key for a while."""

    since: float
    until: float
    rpm: float = Field(gt=0)
    """Calls a minute, evenly."""
    tokens: int = 1000
    """Tokens of each call."""


class ProviderModel(_Part):
    """How the provider behaves."""

    latency: dict[str, Bounds] = Field(default_factory=dict[str, Bounds])
    """Seconds of an unloaded server by step, lowest and highest."""
    answers: dict[str, Bounds] = Field(default_factory=dict[str, Bounds])
    """Tokens of an answer by step, lowest and highest."""
    spread: float = Field(default=0.0, ge=0)
    """Answers vary by a lognormal factor of this sigma too."""
    capacity: int | None = Field(default=None, ge=1)
    """Calls in flight; one more is refused."""
    knee: int | None = Field(default=None, ge=1)
    """Calls in flight beyond which all only take longer, in proportion."""
    slope: float = Field(default=0.0, ge=0)
    """How much longer calls take at the knee than alone, as a part."""
    rpm: int | None = Field(default=None, ge=1)
    """Requests in any minute; one more is refused."""
    tpm: int | None = Field(default=None, ge=1)
    """Tokens in any minute, prompt and longest answer; what exceeds them is refused."""
    minute: float = Field(default=MINUTE, gt=0)
    """Length of the quota's minute in seconds, for a provider that runs faster than real time."""
    headers: bool = True
    """Whether answers report the quotas."""
    retry_after: bool = True
    """Whether refusals name the seconds to wait."""
    charged: float = Field(default=1.0, gt=0)
    """Tokens that a call is charged ÷ what it was estimated to cost."""
    transient: float = Field(default=0.0, ge=0, lt=1)
    """Share of attempts that fail at once with a server error."""
    unusable: float = Field(default=0.0, ge=0, lt=1)
    """Share of answers that cannot be used, and are asked for again."""
    change: tuple[Change, ...] = ()
    foreign: tuple[Foreign, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "ProviderModel":
        """Read a file: the fields, or a scenario with a ``[provider]`` table.

        Raises:
            SettingsError: it cannot be read, or a key or value is wrong.
        """
        try:
            data = tomllib.loads(path.read_text("utf-8-sig"))
            return cls.model_validate(data.get("provider", data))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: not a provider model: {error}") from None
        except ValidationError as error:
            raise SettingsError(f"{path}: {'; '.join(describe(error))}") from None

    def arguments(self) -> dict[str, Any]:
        """The arguments of a ``ModelServer``."""
        return {
            "ranges": self.latency,
            "spread": self.spread,
            "concurrency": self._steps("capacity"),
            "requests": self._steps("rpm"),
            "tokens": self._steps("tpm"),
            "charged": self.charged,
            "others": [
                Others(since=f.since, until=f.until, requests=f.rpm, tokens=f.tokens)
                for f in self.foreign
            ],
            "headers": self.headers,
            "retry_after": self.retry_after,
            "knee": self.knee,
            "slope": self.slope,
            "window": self.minute,
        }

    def server(self, seed: int) -> ModelServer:
        """The provider in virtual time."""
        return ModelServer(**self.arguments(), seed=seed)

    def _steps(self, name: str) -> Steps | None:
        first: int | None = getattr(self, name)
        if first is None:
            return None
        changes = ((change.at, getattr(change, name)) for change in self.change)
        return Steps([(0.0, first), *((at, to) for at, to in changes if to is not None)])
