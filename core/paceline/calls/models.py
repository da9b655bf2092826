"""The models of one worker process, and which of them are known to be down.

A step has a chain of models. If a call fails for good with one model, the next one is asked.
A model that cannot answer any call is *down*: calls that have another model skip it. After a
pause one call probes it; if the probe is answered, the model is up again.

=================================================  =========================================
what happened to a call                            what the chain does
=================================================  =========================================
key or model unusable, wrong address               the model is down; the next one is asked
no credit, or the quota of the day is used up      the model is down until the quota reopens
unreachable for longer than the model's patience   the model is down; the next one is asked
all calls refused for longer than its patience     the model is down; the next one is asked
this call refused for longer than its patience     the next one is asked
its attempts used up, rejected, or too long        the next one is asked
answer still unusable after its repair             the next one is asked
=================================================  =========================================
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paceline.contracts.provider import Provider
from paceline.errors import AccountExhausted, PacelineError, SettingsError
from paceline.settings.model import ModelSettings, ProviderSettings
from paceline.text import unknown

log = logging.getLogger("paceline.provider")

#: Seconds until the first probe of a model that is down; they double.
FIRST_PROBE, LONGEST_PROBE = 30.0, 900.0


class ModelDown(PacelineError):
    """The model is known to be down, and the chain has another one."""


@dataclass(slots=True, eq=False)
class Model:
    """One model.

    Attributes:
        name: its name in the settings.
        provider: makes the attempts.
        settings: its settings, with what it takes from ``[provider]``.
        section: the section of the settings that describes it.
        key: what its quota is counted for; the provider's key, unless another server has a model
            with the same key.
        down: why it is down; ``None`` if it is not known to be.
    """

    name: str
    provider: Provider
    settings: ProviderSettings
    section: str = "provider"
    key: str = ""
    down: str | None = None
    _probe_at: float = 0.0
    _pause: float = FIRST_PROBE

    def __post_init__(self) -> None:
        self.key = self.key or self.provider.key

    def name_settings(self, error: PacelineError) -> None:
        """Let an error name the settings of this model, and not those of ``[provider]``."""
        error.args = (self.own_names(str(error)), *error.args[1:])

    def own_names(self, text: str) -> str:
        """A text that names the settings of this model, and not those of ``[provider]``."""
        own = "|".join(ModelSettings.model_fields)
        return re.sub(rf"\bprovider\.({own})\b", rf"{self.section}.\1", text)

    def take_probe(self) -> bool:
        """Whether the caller may probe the model now: one of all callers may."""
        now = asyncio.get_running_loop().time()
        if now < self._probe_at:
            return False
        self._probe_at = now + self._pause
        return True

    def failed(self, error: PacelineError) -> None:
        """No call can succeed now, for this reason."""
        now = asyncio.get_running_loop().time()
        if self.down is None:
            log.warning("model %s is down: %s", self.name, error)
            self._pause = FIRST_PROBE
        else:
            self._pause = min(2 * self._pause, LONGEST_PROBE)
        self.down = str(error)
        reopens = error.reopens_in if isinstance(error, AccountExhausted) else None
        self._probe_at = now + max(self._pause, reopens or 0.0)

    def answered(self) -> None:
        """The model answered a call."""
        if self.down is not None:
            log.warning("model %s answers again (was: %s)", self.name, self.down)
            self.down = None


@dataclass(slots=True)
class Skip:
    """Whether one call should skip its model; asked before each attempt.

    A call that became the probe is not asked to skip until it has its answer.
    """

    model: Model
    probing: bool = False

    def __call__(self) -> bool:
        """Whether to skip it now; the call may become the probe."""
        if self.probing or self.model.down is None:
            return False
        self.probing = self.model.take_probe()
        return not self.probing


class Models:
    """The models of one process, by name."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        servers: dict[str, set[str | None]] = {}
        for one in models.values():
            servers.setdefault(one.provider.key, set()).add(one.settings.base_url)
        for one in models.values():
            if len(servers[one.provider.key]) > 1:  # each server has a quota of its own
                one.key = f"{one.provider.key}@{one.name}"

    def chain(self, names: Sequence[str]) -> Sequence[Model]:
        """Models in order of fallback.

        Raises:
            SettingsError: a model does not exist, or no step of the settings names it.
        """
        return [self._model(name) for name in names]

    def _model(self, name: str) -> Model:
        found = self._models.get(name.replace("_", "-"))
        if found is None:
            raise SettingsError(unknown(f"model {name!r}", name, sorted(self._models)))
        return found

    def all(self) -> Sequence[Model]:
        """Every model, by name."""
        return [self._models[name] for name in sorted(self._models)]
