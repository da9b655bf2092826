"""The exporter ``json``: one document with everything."""

from collections.abc import AsyncIterator

from paceline.client.cluster_status import run_with_context
from paceline.client.render import artifact_to_json, concept_to_json
from paceline.client.terminal.output import json_text
from paceline.contracts.exporter import ExportedRun, FileExporter


class JsonExporter(FileExporter):
    """One JSON document. ``currency`` is the currency of the costs."""

    suffix = ".json"

    def __init__(self, currency: str) -> None:
        self._currency = currency

    async def pieces(self, run: ExportedRun) -> AsyncIterator[str | bytes]:
        """Yield the run and the roadmap, then concept after concept."""
        names = {concept.concept_id: concept.name for _, _, concept in run.roadmap.concepts()}
        yield f'{{"run": {json_text(run_with_context(run.run))},\n"roadmap": '
        yield json_text(run.roadmap.model_dump(mode="json"))
        yield ',\n"concepts": ['
        between = "\n"
        for one in run.concepts:
            found = [exported.artifact for exported in await run.artifacts(one)]
            described = {
                **concept_to_json(one.state, names, [artifact.step for artifact in found]),
                "missing_steps": one.missing,
                "artifacts": [artifact_to_json(artifact, self._currency) for artifact in found],
            }
            yield between
            yield json_text(described)
            between = ",\n"
        yield "\n]}\n"
