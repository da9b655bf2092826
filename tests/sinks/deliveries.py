"""Deliveries for tests of sinks."""

from datetime import UTC, datetime
from typing import Any

from paceline import Delivery
from paceline.contracts.sink import artifact_delivery_id, run_delivery_id

_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_artifact(concept_id: str = "loops", number: int = 1, **fields: Any) -> Delivery:
    """Version ``number`` of a tutorial."""
    run_id, step = fields.get("run_id", "run-1"), fields.get("step", "tutorial")
    values: dict[str, Any] = {
        "id": artifact_delivery_id(run_id, concept_id, step, number),
        "kind": "artifact",
        "run_id": run_id,
        "roadmap_id": "python",
        "roadmap_title": "Python",
        "tenant": "",
        "number": number,
        "created_at": _AT,
        "concept_id": concept_id,
        "concept_name": "Loops",
        "step": step,
        "version": number,
        "content": '{"title": "Schleifen — ü"}',
        "readable": "# Schleifen — ü",
        "model": "gpt",
        "cost": 0.0123456789,
    }
    return Delivery(**(values | fields))


def an_end(number: int = 1, **fields: Any) -> Delivery:
    """The end of a run."""
    values: dict[str, Any] = {
        "id": run_delivery_id("run-1", number),
        "kind": "run",
        "run_id": "run-1",
        "roadmap_id": "python",
        "roadmap_title": "Python",
        "tenant": "acme",
        "number": number,
        "created_at": _AT,
        "status": "partial",
        "reason": "1 of 3 failed",
        "total": 3,
        "completed": 2,
        "failed": 1,
    }
    return Delivery(**(values | fields))
