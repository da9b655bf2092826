"""The events of a run under the names that the service's browser already knows."""

from collections.abc import AsyncIterator

from paceline import Client, Event

_RUN = {
    "content_generation_snapshot": "generation_progress",
    "content_generation_note": "concept_note",
    "resync_required": "reload_required",
}


async def service_events(
    client: Client, run_id: str, *, after: str | None = None
) -> AsyncIterator[dict[str, object]]:
    """Follow a run until its end.

    Args:
        client: an open client.
        run_id: the run; it is the ``task_id`` of the events.
        after: ``id`` of the last event that the browser has seen.
    """
    async for event in client.follow(run_id, after=after):
        for name in names_of(event):
            yield {
                "event": name,
                "id": event.position,
                "task_id": event.task_id,
                "concept_id": event.concept_id,
                "done": event.progress_current,
                "total": event.progress_total,
                "message": event.reason,
            }


def names_of(event: Event) -> list[str]:
    """The service's names for one event: the last step of a concept also completes the concept."""
    if event.type == "content_generation_finished":
        return [f"generation_{event.status}"]
    if event.type in _RUN:
        return [_RUN[event.type]]
    names = [f"{event.step}_completed"] if event.step else []
    if event.status in ("completed", "failed"):
        names.append(f"concept_{event.status}")
    return names or ["concept_started"]
