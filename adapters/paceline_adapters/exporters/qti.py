"""The exporter ``qti``: questions as a QTI 2.1 content package."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from paceline import ExportedConcept, ExportedRun, FileExporter

from paceline_adapters.exporters.material import (
    Material,
    key_of,
    materials,
    nothing_to_write,
    one_line,
)
from paceline_adapters.exporters.packing import package
from paceline_adapters.exporters.qti_item import SCHEMA, item_xml, root, xml_bytes

_PACKAGE = "http://www.imsglobal.org/xsd/imscp_v1p1"


@dataclass(slots=True)
class _Test:
    """The questions of one module.

    Attributes:
        key: its identifier.
        title: its title.
        sections: for each concept its title, its identifier, and those of its items.
    """

    key: str
    title: str
    sections: list[tuple[str, str, list[str]]] = field(
        default_factory=list[tuple[str, str, list[str]]]
    )

    @property
    def items(self) -> list[str]:
        """Identifiers of all items."""
        return [item for _, _, items in self.sections for item in items]


class QtiExporter(FileExporter):
    """A zip file: one item per question, one test per module with a section per concept."""

    suffix = ".zip"
    text = False

    async def pieces(self, run: ExportedRun) -> AsyncIterator[str | bytes]:
        """Yield the package."""
        tests: dict[str, _Test] = {}
        with package() as made:
            async for material in materials(run):
                if not material.questions:
                    continue
                test = _test_of(run, tests, material.concept)
                items = [f"item-{item.key(run)}" for item in material.questions]
                test.sections.append(_section(run, material, items))
                for name, item in zip(items, material.questions, strict=True):
                    made.add(_item_file(name), item_xml(name, item))
            if not tests:
                raise nothing_to_write(run, "questions")
            for test in tests.values():
                made.add(_test_file(test), _test_xml(test))
            made.add("imsmanifest.xml", _manifest_xml(run, tests))
            for piece in made.pieces():
                yield piece


def _test_of(run: ExportedRun, tests: dict[str, _Test], concept: ExportedConcept) -> _Test:
    key = key_of(run.roadmap.roadmap_id, concept.stage.stage_id, concept.module.module_id)
    if key not in tests:
        names = (run.roadmap.title, concept.stage.name, concept.module.name)
        tests[key] = _Test(f"test-{key}", " · ".join(map(one_line, names)))
    return tests[key]


def _section(run: ExportedRun, material: Material, items: list[str]) -> tuple[str, str, list[str]]:
    concept = material.concept.concept
    key = key_of(run.roadmap.roadmap_id, concept.concept_id)
    return one_line(concept.name), f"section-{key}", items


def _item_file(item: str) -> str:
    return f"items/{item}.xml"


def _test_file(test: _Test) -> str:
    return f"tests/{test.key}.xml"


def _test_xml(test: _Test) -> bytes:
    found = root("assessmentTest", SCHEMA, identifier=test.key, title=test.title)
    part = ET.SubElement(
        found,
        "testPart",
        identifier="part",
        navigationMode="nonlinear",
        submissionMode="individual",
    )
    for title, key, items in test.sections:
        section = ET.SubElement(
            part, "assessmentSection", identifier=key, title=title, visible="true"
        )
        for item in items:
            ET.SubElement(
                section, "assessmentItemRef", identifier=item, href=f"../{_item_file(item)}"
            )
    return xml_bytes(found)


def _manifest_xml(run: ExportedRun, tests: dict[str, _Test]) -> bytes:
    found = root("manifest", _PACKAGE, identifier=f"package-{key_of(run.roadmap.roadmap_id)}")
    metadata = ET.SubElement(found, "metadata")
    ET.SubElement(metadata, "schema").text = "QTIv2.1 Package"
    ET.SubElement(metadata, "schemaversion").text = "1.0.0"
    ET.SubElement(found, "organizations")
    resources = ET.SubElement(found, "resources")
    for test in tests.values():
        resource = _resource(resources, test.key, "imsqti_test_xmlv2p1", _test_file(test))
        for item in test.items:
            ET.SubElement(resource, "dependency", identifierref=item)
    for test in tests.values():
        for item in test.items:
            _resource(resources, item, "imsqti_item_xmlv2p1", _item_file(item))
    return xml_bytes(found)


def _resource(resources: ET.Element, key: str, kind: str, file: str) -> ET.Element:
    resource = ET.SubElement(resources, "resource", identifier=key, type=kind, href=file)
    ET.SubElement(resource, "file", href=file)
    return resource
