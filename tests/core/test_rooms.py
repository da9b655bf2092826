"""The layout of core: rooms, and a few modules that belong to none."""

from pathlib import Path

import paceline

#: Everything else is in a room. Find the room of new code in docs/architecture.md.
LOOSE = {
    "__init__",
    "__main__",
    "app",
    "errors",
    "log_context",
    "tasks",
    "text",
    "validation",
}


def test_few_modules_are_outside_of_a_room() -> None:
    folder = Path(paceline.__file__).parent
    assert {module.stem for module in folder.glob("*.py")} == LOOSE
