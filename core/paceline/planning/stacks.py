"""Parts as a user writes them: ``NAME:KEY=VALUE,KEY=VALUE``; strategies stack with ``+``."""

from dataclasses import dataclass

from paceline.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Part:
    """A plugin's name and its options as texts: ``executors.<name>.<key> = <value>``."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read ``name`` or ``name:key=value,key=value``.

        Raises:
            SettingsError: the text has another form.
        """
        name, colon, rest = text.strip().partition(":")
        pairs = [pair.partition("=") for pair in rest.split(",")] if colon else []
        if not name or any(not (key and equals and value) for key, equals, value in pairs):
            raise SettingsError(
                "a part must be NAME or NAME:KEY=VALUE,KEY=VALUE, such as celery:pool=threads, "
                f"got {text!r}"
            )
        return cls(name, tuple((key, value) for key, _, value in pairs))

    def __str__(self) -> str:
        pairs = ",".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name}:{pairs}" if pairs else self.name


def parse_stack(text: str) -> tuple[Part, ...]:
    """Read ``per-roadmap+global:concurrency=16``. Raises as ``Part.parse``."""
    return tuple(Part.parse(part) for part in text.split("+"))
