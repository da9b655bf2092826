"""Play a scenario with real worker processes, Valkey, and the simulator over HTTP.

The figures come from the provider's log, in the seconds of the file.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from paceline.planning.provider_model import Change
from paceline.testing.proxy import Proxy
from paceline.testing.servers import Valkey
from paceline_adapters.sql import schema
from pydantic import SecretStr

from tests.scenarios.play import Seen
from tests.scenarios.scenario import Load, Real, Scenario
from tests.support.cli_processes import Home, Simulator, simulator
from tests.support.eventually import eventually
from tests.support.memory_worker import a_roadmap
from tests.support.worker_processes import PATIENCE, Site

#: Models of the simulator: each key uses another one, so that it has its own quota.
_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini")


@dataclass(slots=True)
class Group:
    """The workers of one API key, with their own store and provider.

    Attributes:
        site: where they work.
        log: the provider's.
        workers: with the names of their own logs.
    """

    site: Site
    log: Path
    workers: list[tuple[str, "subprocess.Popen[str]"]]

    def ready(self) -> bool:
        """Whether all its workers serve."""
        return all("is ready" in self.site.home.log(name) for name, _ in self.workers)


@dataclass(frozen=True, slots=True)
class _Happens:
    """An event at a time of the file."""

    at: float
    act: Callable[[], None]


class RealPlay:
    """One scenario while it is played.

    Args:
        scenario: which one.
        real: how it is played.
        folder: for files.
    """

    def __init__(self, scenario: Scenario, real: Real, folder: Path) -> None:
        self.scenario = scenario
        self.real = real
        self._folder = folder
        self._open = contextlib.ExitStack()
        self._groups: dict[str, Group] = {}
        self._began = 0.0

    def play(self) -> Seen:
        """Play it to its end."""
        scenario = self.scenario
        keys = list(dict.fromkeys(load.key for load in scenario.load))
        with self._open:
            valkey = self._open.enter_context(Valkey())
            self._proxy = self._open.enter_context(Proxy.to(valkey.url))
            url = SecretStr(self._proxy.through(valkey.url))
            for number, key in enumerate(keys):
                self._groups[key] = self._group(number, len(keys), url)
            eventually(lambda: all(group.ready() for group in self._groups.values()), PATIENCE)
            self._go()
        seen = Seen()
        for key, group in self._groups.items():
            self._read(group, seen)
            for name, _ in group.workers:
                log = group.site.home.log(name)
                assert "Traceback" not in log, (key, log)
                seen.explained += "".join(
                    line for line in log.splitlines(keepends=True) if "limit " in line
                )
        return seen

    # -- before ------------------------------------------------------------------------------

    def _group(self, number: int, groups: int, redis_url: SecretStr) -> Group:
        folder = self._folder / f"group{number}"
        folder.mkdir()
        log, database = folder / "requests.jsonl", folder / "paceline.db"
        llm = self._open.enter_context(simulator(*self._arguments(log)))
        schema.upgrade(SecretStr(f"sqlite:///{database}"))
        home = Home(folder, self._settings(database, llm, _MODELS[number], redis_url))
        workers: list[tuple[str, subprocess.Popen[str]]] = []
        # As in virtual time, runs are spread evenly.
        runs = sum(load.runs for load in self.scenario.load) // groups
        count = self.scenario.workers // groups
        for worker in range(count):
            name = f"worker{worker}"
            arguments = ("worker", "--concurrency", str(-(-runs // count)))
            workers.append((name, self._open.enter_context(home.started(*arguments, name=name))))
        return Group(Site(home, llm, None, None, str(database)), log, workers)

    def _arguments(self, log: Path) -> list[str]:
        model = self.scenario.provider
        given = ["--log", str(log), "--speed", f"{self.real.speed:g}"]
        for step, (low, high) in model.latency.items():
            given += ["--latency", f"{step}={low:g}-{high:g}"]
        for name, limit in (("--max-concurrency", model.capacity), ("--rpm", model.rpm)):
            given += [] if limit is None else [name, str(limit)]
        return given

    def _settings(
        self, database: Path, llm: Simulator, model: str, redis_url: SecretStr
    ) -> dict[str, str]:
        given = {
            "STORE__URL": f"sqlite:///{database}",
            "REDIS__URL": redis_url.get_secret_value(),
            "REDIS__TIMEOUT": "1",
            "STRATEGY": ",".join(self.scenario.strategy),
            "RUN__LEASE": f"{self.real.lease:g}",
            "RUN__GRACE": "0.1",
            "PROVIDER__BASE_URL": llm.base_url,
            "PROVIDER__API_KEY": "sk-test",
            "PROVIDER__MODEL": model,
        }
        for name, options in self.scenario.options.items():
            section = f"STRATEGIES__{name.upper().replace('-', '_')}"
            given |= {f"{section}__{option.upper()}": f"{is_}" for option, is_ in options.items()}
        return {f"PACELINE_{name}": value for name, value in given.items()}

    # -- meanwhile ---------------------------------------------------------------------------

    def _go(self) -> None:
        """Run every event at its time, counted from the first calls."""
        length = self.real.seconds or self.scenario.seconds
        happens = [one for one in self._happens() if one.at < length]
        happens.append(_Happens(length, lambda: None))
        for one in sorted(happens, key=lambda one: one.at):
            if one.at > 0:
                self._wait_for(one.at)
            one.act()

    def _happens(self) -> "list[_Happens]":
        scenario, proxy = self.scenario, self._proxy
        found = [
            _Happens(load.at + number * load.every, partial(self._submit, load, number))
            for load in scenario.load
            for number in range(load.runs)
        ]
        found += [
            _Happens(change.at, partial(self._change, change))
            for change in scenario.provider.change
        ]
        for event in scenario.event:
            if event.what == "worker dies":
                found.append(_Happens(event.at, self._kill))
                continue
            freezes = event.what == "worker freezes"
            begins, ends = (self._freeze, self._thaw) if freezes else (proxy.refuse, proxy.heal)
            found.append(_Happens(event.at, begins))
            found.append(_Happens(event.at + event.seconds, ends))
        return found

    def _wait_for(self, moment: float) -> None:
        if not self._began:
            eventually(self._all_are_called, PATIENCE)
            self._began = time.time()
        moment = self._began + moment / self.real.speed
        eventually(lambda: time.time() >= moment, PATIENCE + self.scenario.seconds)

    def _all_are_called(self) -> bool:
        return all(group.site.llm.figures()["requests"] for group in self._groups.values())

    def _submit(self, load: Load, number: int) -> None:
        concepts = min(load.concepts, self.real.concepts)
        self._groups[load.key].site.submit(a_roadmap(concepts, f"{load.name}-{number}"))

    def _change(self, change: Change) -> None:
        named = {"max_concurrency": change.capacity, "rpm": change.rpm}
        words = "&".join(f"{name}={limit}" for name, limit in named.items() if limit is not None)
        for group in self._groups.values():
            root = group.site.llm.base_url.removesuffix("/v1")
            urllib.request.urlopen(f"{root}/__paceline/limits?{words}", data=b"").close()

    def _victim(self) -> "tuple[Site, subprocess.Popen[str]]":
        *_, group = self._groups.values()
        return group.site, group.workers[-1][1]

    def _kill(self) -> None:
        _, worker = self._victim()
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def _freeze(self) -> None:
        site, worker = self._victim()
        site.freeze(worker.pid)

    def _thaw(self) -> None:
        _, worker = self._victim()
        os.killpg(worker.pid, signal.SIGCONT)

    # -- afterwards --------------------------------------------------------------------------

    def _read(self, group: Group, seen: Seen) -> None:
        for line in group.log.read_text().splitlines():
            entry: dict[str, Any] = json.loads(line)
            came, gone = (self._in_the_file(entry[name]) for name in ("started", "ended"))
            if entry["status"] == 429:
                seen.refused.append(came)
            elif entry["in_flight"] is not None:
                seen.admitted.append((came, entry["in_flight"]))
                if entry["status"] == 200:
                    seen.answered.append((gone, entry["roadmap"].rpartition("-")[0]))

    def _in_the_file(self, moment: float) -> float:
        return (moment - self._began) * self.real.speed


def play_for_real(scenario: Scenario, real: Real, folder: Path) -> Seen:
    """Play a scenario with real processes and servers."""
    return RealPlay(scenario, real, folder).play()
