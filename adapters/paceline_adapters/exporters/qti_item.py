"""One question as an item of QTI 2.1."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from paceline import Question

from paceline_adapters.exporters.material import Item, block_html, choice_html, one_line

SCHEMA = "http://www.imsglobal.org/xsd/imsqti_v2p1"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_LOCATIONS = {SCHEMA: "http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd"}
#: Elements without content.
_VOID = ("br", "hr")
#: Elements of HTML that QTI does not have, and what stands in their place.
_OTHERS = {"del": "span"}


def item_xml(key: str, item: Item[Question]) -> bytes:
    """A question as an item with this identifier."""
    question = item.item
    several = len(question.right) > 1
    title = f"{one_line(item.concept.concept.name)} {item.number}"
    found = root(
        "assessmentItem",
        SCHEMA,
        identifier=key,
        title=title,
        adaptive="false",
        timeDependent="false",
    )
    _declare_response(found, question, several=several)
    _declare_outcome(found, "SCORE", "float", "0")
    explained = bool(question.explanation.strip())
    if explained:
        _declare_outcome(found, "FEEDBACK", "identifier", None)
    body = ET.SubElement(found, "itemBody")
    _append(ET.SubElement(body, "div"), block_html(question.text))
    interaction = ET.SubElement(
        body,
        "choiceInteraction",
        responseIdentifier="RESPONSE",
        shuffle="false",
        maxChoices="0" if several else "1",
    )
    for place, choice in enumerate(question.choices):
        element = ET.SubElement(interaction, "simpleChoice", identifier=_choice(place))
        _append(element, choice_html(choice))
    _process(found, explained=explained)
    if explained:
        feedback = ET.SubElement(
            found,
            "modalFeedback",
            outcomeIdentifier="FEEDBACK",
            identifier="EXPLANATION",
            showHide="show",
        )
        _append(feedback, block_html(question.explanation))
    return xml_bytes(found)


def root(tag: str, namespace: str, **attributes: str) -> ET.Element:
    """The outermost element of a document, with its default namespace."""
    found = ET.Element(tag, {"xmlns": namespace, **attributes})
    if namespace in _LOCATIONS:
        found.set("xmlns:xsi", _INSTANCE)
        found.set("xsi:schemaLocation", f"{namespace} {_LOCATIONS[namespace]}")
    return found


def xml_bytes(element: ET.Element) -> bytes:
    """A document as bytes. Nothing is indented, because blanks count in texts."""
    return bytes(ET.tostring(element, encoding="utf-8", xml_declaration=True))


def _choice(place: int) -> str:
    return f"choice-{place + 1}"


def _declare_response(item: ET.Element, question: Question, *, several: bool) -> None:
    response = ET.SubElement(
        item,
        "responseDeclaration",
        identifier="RESPONSE",
        cardinality="multiple" if several else "single",
        baseType="identifier",
    )
    correct = ET.SubElement(response, "correctResponse")
    for place in sorted(question.right):
        ET.SubElement(correct, "value").text = _choice(place)


def _declare_outcome(item: ET.Element, name: str, kind: str, default: str | None) -> None:
    outcome = ET.SubElement(
        item, "outcomeDeclaration", identifier=name, cardinality="single", baseType=kind
    )
    if default is not None:
        ET.SubElement(ET.SubElement(outcome, "defaultValue"), "value").text = default


def _process(item: ET.Element, *, explained: bool) -> None:
    """One point if exactly the right choices are chosen; the explanation in any case."""
    processing = ET.SubElement(item, "responseProcessing")
    condition = ET.SubElement(processing, "responseCondition")
    right = ET.SubElement(condition, "responseIf")
    match = ET.SubElement(right, "match")
    ET.SubElement(match, "variable", identifier="RESPONSE")
    ET.SubElement(match, "correct", identifier="RESPONSE")
    _set(right, "SCORE", "float", "1")
    _set(ET.SubElement(condition, "responseElse"), "SCORE", "float", "0")
    if explained:
        _set(processing, "FEEDBACK", "identifier", "EXPLANATION")


def _set(parent: ET.Element, outcome: str, kind: str, value: str) -> None:
    set_value = ET.SubElement(parent, "setOutcomeValue", identifier=outcome)
    ET.SubElement(set_value, "baseValue", baseType=kind).text = value


def _append(parent: ET.Element, html: str) -> None:
    """Append cleaned HTML to an element, as far as QTI has its elements."""
    builder = _Builder(parent)
    builder.feed(html)
    builder.close()
    for table in parent.iter("table"):
        if table.find("tbody") is None:  # a table of headings only; QTI wants a body
            for head in table.findall("thead"):
                head.tag = "tbody"


class _Builder(HTMLParser):
    """Builds elements from HTML that is well-formed, because nh3 wrote it."""

    def __init__(self, parent: ET.Element) -> None:
        super().__init__(convert_charrefs=True)
        self._open = [parent]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        name = "span" if tag == "a" and href is None else _OTHERS.get(tag, tag)
        element = ET.SubElement(self._open[-1], name)
        if href is not None:
            element.set("href", href)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        parent = self._open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data
