"""Driving contestants: a simulated provider, a process, and what its work took."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from benchmarks.contestants.protocol import Assignment

#: The model that contestants ask.
MODEL = "gpt-4o-mini"
ROOT = Path(__file__).parents[1]
#: The eight example roadmaps, 227 concepts.
ROADMAPS = sorted((ROOT / "adapters/paceline_adapters/demo/roadmaps").glob("*.json"))


@dataclass(frozen=True, slots=True)
class Lap:
    """What one contestant's work took.

    Attributes:
        makespan: seconds from ``go`` to ``done``.
        cpu: processor seconds of its process and its children between the two.
        calls: calls that were answered.
    """

    makespan: float
    cpu: float
    calls: int

    @property
    def cpu_per_call(self) -> float:
        """Processor seconds of a call."""
        return self.cpu / self.calls


@contextmanager
def simulator(*arguments: str) -> Iterator[str]:
    """A simulated provider in a process of its own; yields its ``base_url``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paceline", "simulator", "--port", "0", "--json", *arguments],
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.terminate()


def run_lap(
    module: str,
    base_url: str,
    store_url: str,
    *,
    roadmaps: Sequence[Path] = ROADMAPS,
    redis_url: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Lap:
    """Let a contestant warm up, then work, and stop it.

    Args:
        module: name of its module.
        base_url: the simulated provider, which nobody else asks meanwhile.
        store_url: its database, which nobody has used.
        roadmaps: what to generate.
        redis_url: broker and event server.
        settings: settings by dotted path.

    Raises:
        RuntimeError: it ended early; the text is what it wrote to stderr.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        warm_up = Path(folder) / "warm-up.json"
        warm_up.write_text(json.dumps(_small_roadmap()))
        document = Path(folder) / "assignment.json"
        assignment = Assignment(
            roadmaps=list(roadmaps),
            warm_up=warm_up,
            base_url=base_url,
            api_key="sk-benchmark",
            model=MODEL,
            store_url=store_url,
            redis_url=redis_url,
            settings=dict(settings or {}),
        )
        document.write_text(assignment.model_dump_json())
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(document)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        with process:
            try:
                return _measured(process, base_url)
            except EOFError:
                process.wait()
                errors.seek(0)
                raise RuntimeError(f"{module}: {errors.read().decode()[-2000:]}") from None
            finally:
                process.kill()


def _measured(process: "subprocess.Popen[bytes]", base_url: str) -> Lap:
    _expect(process, b"ready\n")
    _stats(base_url, reset=True)
    before, began = _cpu(process.pid), perf_counter()
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    _expect(process, b"done\n")
    makespan, after = perf_counter() - began, _cpu(process.pid)
    calls = _stats(base_url)["completed"]
    process.stdin.close()
    process.wait()
    return Lap(makespan, after - before, calls)


def _expect(process: "subprocess.Popen[bytes]", word: bytes) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != word:
        raise EOFError


def _cpu(pid: int) -> float:
    root = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])


def _stats(base_url: str, *, reset: bool = False) -> dict[str, int]:
    root = base_url.removesuffix("/v1")
    if reset:
        urllib.request.urlopen(f"{root}/__paceline/reset", data=b"").close()
    with urllib.request.urlopen(f"{root}/__paceline/stats") as answer:
        return dict(json.load(answer))


def _small_roadmap() -> dict[str, object]:
    concepts = [{"concept_id": f"warm-{n}", "name": f"Warming up {n}"} for n in range(8)]
    module = {"module_id": "m", "name": "M", "concepts": concepts}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return {"roadmap_id": "warm-up", "title": "Warming up", "stages": [stage]}
