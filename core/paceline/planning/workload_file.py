"""The file that describes a workload, for ``paceline bench`` and ``paceline plan``."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paceline.contracts.latency_range import parse_range
from paceline.errors import SettingsError
from paceline.roadmaps.model import Roadmap, parse_roadmap
from paceline.validation import describe


def parse_latencies(texts: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Ranges by step, from texts like ``20-30``.

    Raises:
        SettingsError: a text is not a range.
    """
    found: dict[str, tuple[float, float]] = {}
    for step, text in texts.items():
        try:
            low, high = parse_range(text)
        except ValueError as error:
            raise SettingsError(f"latency of {step}: {error}") from None
        found[step] = (low, high)
    return found


class WorkloadFile(BaseModel):
    """A workload in a TOML file; command line options override it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = None
    """Name in the report."""
    files: list[Path] = Field(default_factory=list[Path])
    """Roadmap files, relative to this one."""
    roadmaps: int | None = Field(default=None, ge=1, le=10_000)
    """Number of synthetic roadmaps, instead of files."""
    concepts: int | None = Field(default=None, ge=1, le=100_000)
    """Number of concepts of each synthetic roadmap."""
    latency: dict[str, str] = Field(default_factory=dict[str, str])
    """Seconds by step, as ``20-30``."""
    speed: float | None = Field(default=None, gt=0)
    """Factor by which latencies are divided."""
    seed: int | None = None
    """Seed of latencies and contents."""
    rpm: int | None = Field(default=None, ge=1)
    """The provider's limit of requests per minute."""
    tpm: int | None = Field(default=None, ge=1)
    """The provider's limit of tokens per minute."""

    @classmethod
    def read(cls, path: Path) -> "WorkloadFile":
        """Read a file.

        Raises:
            SettingsError: it cannot be read, or a key or value is wrong.
        """
        try:
            data = tomllib.loads(path.read_text("utf-8-sig"))
            found = cls.model_validate(data)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: not a workload file: {error}") from None
        except ValidationError as error:
            raise SettingsError(f"{path}: {'; '.join(describe(error))}") from None
        here = path.parent
        return found.model_copy(update={"files": [here / file for file in found.files]})


def synthetic_roadmap(number: int, concepts: int) -> Roadmap:
    """A roadmap of one module with this number of concepts."""
    document: dict[str, Any] = {
        "roadmap_id": f"synthetic-{number}",
        "title": f"Synthetic roadmap {number}",
        "stages": [
            {
                "stage_id": "s1",
                "name": "Stage",
                "order": 1,
                "modules": [
                    {
                        "module_id": "m1",
                        "name": "Module",
                        "concepts": [
                            {"concept_id": f"c{one}", "name": f"Concept {one}"}
                            for one in range(1, concepts + 1)
                        ],
                    }
                ],
            }
        ],
    }
    return parse_roadmap(document, source=f"synthetic roadmap {number}")
