"""`--tenant` and `--weight`: the owner of a run, and its share of limits."""

from pathlib import Path

import pytest
from paceline.contracts.share import Share

from tests.support.cli_terminal import Terminal, a_roadmap


@pytest.fixture
def roadmap(paceline: Terminal) -> str:
    """A file with a roadmap."""
    (paceline.folder / "roadmap.json").write_text(a_roadmap("learn-x", "one").to_json())
    return "roadmap.json"


def test_a_run_shows_tenant_and_weight_if_they_are_set(paceline: Terminal, roadmap: str) -> None:
    paceline("submit", roadmap, "--tenant", "acme", "--weight", "2.5")
    shown = paceline("show", "learn-x", "--json").json
    assert (shown["tenant"], shown["weight"]) == ("acme", 2.5)
    for command in (("show", "learn-x"), ("show",), ("status",)):
        assert "tenant acme, weight 2.5" in " ".join(paceline(*command).out.split())
    assert paceline("status", "--json").json["runs"][0]["tenant"] == "acme"


def test_a_run_without_tenant_and_weight_shows_neither(paceline: Terminal, roadmap: str) -> None:
    paceline("submit", roadmap)
    for command in (("show", "learn-x"), ("show",), ("status",)):
        out = paceline(*command).out
        assert "tenant" not in out
        assert "weight" not in out
    shown = paceline("show", "learn-x", "--json").json
    assert (shown["tenant"], shown["weight"]) == (None, 1.0)


def test_an_existing_run_keeps_its_weight_and_the_command_says_so(
    paceline: Terminal, roadmap: str
) -> None:
    paceline("submit", roadmap, "--weight", "2")
    said = paceline("submit", roadmap, "--weight", "3").err
    assert "keeps its own weight: 2" in said
    assert paceline("show", "learn-x", "--json").json["weight"] == 2
    for same in (("--weight", "2"), ()):
        assert "keeps" not in paceline("submit", roadmap, *same).err


def test_each_tenant_has_a_run_of_its_own_of_the_same_roadmap(
    paceline: Terminal, roadmap: str
) -> None:
    for tenant in ("acme", "other", "acme"):
        paceline("submit", roadmap, "--tenant", tenant)
    runs = paceline("status", "--json").json["runs"]
    assert [run["tenant"] for run in runs] == ["other", "acme"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--weight", "0"), "weight must be between 0.01 and 100, got "),
        (("--weight", "nan"), "weight must be between 0.01 and 100, got "),
        (("--tenant", "a\nb"), "printable characters"),
        (("--tenant", " a"), "no space at either end"),
        (("--tenant", "x" * 101), "1 to 100"),
    ],
)
def test_an_invalid_share_is_rejected_before_anything_happens(
    paceline: Terminal, roadmap: str, options: tuple[str, ...], says: str
) -> None:
    for command in ("submit", "run"):
        assert says in paceline(command, roadmap, *options, code=2).err
    assert not Path("paceline.db").exists()


def test_a_share_is_described_in_words() -> None:
    assert [
        share.describe() for share in (Share(), Share("a"), Share("", 2.0), Share("a", 0.5))
    ] == [
        "",
        "tenant a",
        "weight 2",
        "tenant a, weight 0.5",
    ]
