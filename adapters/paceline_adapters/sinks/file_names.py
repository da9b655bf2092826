"""Names of files from templates, safe in every file system and different for different ids.

A field of a template becomes one part of the path. An id that is plain is its own name. Any other
id becomes its letters and digits, and ``~`` with a hash of the id. No plain id contains ``~``, so
two ids never have the same name.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from string import Formatter

from paceline import Delivery

#: Fields of a template, and what they are.
RUN_FIELDS = ("tenant", "roadmap", "run", "number", "id")
ARTIFACT_FIELDS = (*RUN_FIELDS, "concept", "step", "version")

#: Maximum bytes of the name of one field.
MAX_BYTES = 100
_HASH = 12
#: Lower case only: in some file systems, ``Intro`` and ``intro`` are the same file.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*")
_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
#: Names of devices in Windows.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_LITERAL = re.compile(r"[A-Za-z0-9._/@=+-]*")


def checked_template(
    template: str,
    fields: Collection[str],
    *,
    required: Sequence[Collection[str]],
    endings: Sequence[str] = (".md", ".json"),
) -> str:
    """Check a template.

    Args:
        template: the template.
        fields: names that may stand in braces.
        required: groups of fields; all of one group must be in the template.
        endings: how it may end.

    Raises:
        ValueError: it is wrong; the text says what is allowed.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"must have pairs of braces: {error}") from None
    used: set[str] = set()
    for literal, field, form, conversion in parts:
        if not _LITERAL.fullmatch(literal):
            raise ValueError("must consist of letters, digits, . _ / @ = + - and fields in braces")
        if field is None:
            continue
        if field not in fields or form or conversion:
            allowed = ", ".join(f"{{{one}}}" for one in fields)
            raise ValueError(f"must have only the fields {allowed}, got {{{field}}}")
        used.add(field)
    if not any(used.issuperset(group) for group in required):
        groups = " or ".join(" and ".join(f"{{{one}}}" for one in group) for group in required)
        raise ValueError(f"must contain {groups}, so that each file has its own name")
    if any(part in ("", ".", "..") for part in template.split("/")):
        raise ValueError("must be a relative path without empty parts, . and ..")
    if not template.endswith(tuple(endings)):
        raise ValueError(f"must end with {' or '.join(endings)}")
    return template


def file_name(template: str, delivery: Delivery) -> str:
    """The path of a delivery's file within the folder."""
    return template.format(
        tenant=safe_name(delivery.tenant or "default"),
        roadmap=safe_name(delivery.roadmap_id),
        run=safe_name(delivery.run_id),
        concept=safe_name(delivery.concept_id),
        step=safe_name(delivery.step),
        version=delivery.version,
        number=delivery.number,
        id=safe_name(delivery.id),
    )


def safe_name(text: str) -> str:
    """A name for an id: one part of a path, with at most ``MAX_BYTES`` bytes."""
    plain = _PLAIN.fullmatch(text) and not _DEVICE.fullmatch(text) and len(text) <= MAX_BYTES
    if plain or _ULID.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    normal = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    words = re.sub(r"[^\w-]+", "-", normal).strip("-_")
    short = words.encode()[: MAX_BYTES - _HASH - 1].decode(errors="ignore").strip("-_")
    return f"{short or 'id'}~{digest}"
