"""Valid roadmaps, and the errors of invalid ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paceline import Roadmap, load_roadmap, parse_roadmap
from paceline.errors import RoadmapError, UsageError
from paceline.roadmaps.decoding import MAX_DEPTH, decode
from paceline.roadmaps.model import MAX_BYTES


def concept(name: str, *prerequisites: str) -> dict[str, object]:
    return {"concept_id": name, "name": name.title(), "prerequisites": list(prerequisites)}


def roadmap(*concepts: dict[str, object]) -> dict[str, object]:
    module = {"module_id": "m", "name": "M", "concepts": list(concepts)}
    stage = {"stage_id": "s", "name": "S", "modules": [module]}
    return {"roadmap_id": "r", "title": "R", "stages": [stage]}


def faults_of(data: object) -> list[str]:
    with pytest.raises(RoadmapError) as caught:
        parse_roadmap(data, source="here")
    return list(caught.value.faults)


def test_unknown_fields_are_kept() -> None:
    data = roadmap({**concept("a"), "emoji": "🐍"}) | {"owner": {"team": "x"}}
    parsed = parse_roadmap(data, source="here")
    assert json.loads(parsed.to_json())["owner"] == {"team": "x"}
    assert json.loads(parsed.to_json())["stages"][0]["modules"][0]["concepts"][0]["emoji"] == "🐍"


def test_all_errors_are_reported_together_each_with_its_path() -> None:
    data = {
        "roadmap_id": 7,
        "title": "",
        "stages": [
            {"stage_id": "s", "name": "S", "modules": []},
            {
                "stage_id": "s",
                "name": "S" * 501,
                "order": "first",
                "modules": [
                    {"module_id": "m", "name": "M", "concepts": []},
                    {
                        "module_id": "n",
                        "name": "N",
                        "concepts": [
                            concept("a", "b"),
                            concept("b", "c"),
                            concept("c", "a", "nowhere"),
                            concept("a"),
                            {"concept_id": "d"},
                        ],
                    },
                ],
            },
        ],
    }
    told = "\n".join(faults_of(data))
    for expected in (
        "roadmap_id must be text",
        "title must have at least 1 character",
        "stages[0].modules must have at least 1 item",
        "stages[1].stage_id: duplicate 's', first at stages[0]",
        "stages[1].name must have at most 500 characters, got 501 characters",
        "stages[1].order must be a whole number, got 'first'",
        "stages[1].modules[0].concepts must have at least 1 item",
        "stages[1].modules[1].concepts[3].concept_id: duplicate 'a'",
        "stages[1].modules[1].concepts[2].prerequisites[1]: unknown concept 'nowhere'",
        "circular: a → b → c → a",
        "stages[1].modules[1].concepts[4].name is missing",
    ):
        assert expected in told


def test_a_concept_that_requires_itself_is_a_cycle() -> None:
    assert any("circular: a → a" in fault for fault in faults_of(roadmap(concept("a", "a"))))


def test_a_long_chain_of_prerequisites_is_not_a_cycle() -> None:
    chain = [concept("c0"), *(concept(f"c{n}", f"c{n - 1}") for n in range(1, 5000))]
    assert parse_roadmap(roadmap(*chain), source="here").concept_count() == 5000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"roadmap_id": ', "not valid JSON at line 1"),
        (b"\xff\xfe{", "not UTF-8"),
        (b'{"x": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_text_that_is_not_json_is_one_clear_error(text: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(text)
    with pytest.raises(RoadmapError, match=told):
        load_roadmap(path)


def test_yaml_is_accepted_without_aliases(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(
        "roadmap_id: r\ntitle: R\nstages:\n- stage_id: s\n  name: S\n  modules:\n"
        "  - module_id: m\n    name: M\n    concepts:\n    - {concept_id: a, name: 变量}\n"
    )
    assert load_roadmap(good).concept_count() == 1
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text("a: &a [x, x]\nb: &b [*a, *a]\n")
    with pytest.raises(RoadmapError, match="aliases are not allowed at line 2"):
        load_roadmap(bomb)


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        ("twice.json", '"note": 1, "note": 2,', "note: duplicate key"),
        ("deeper.json", '"note": {"a": 1, "a": 2},', "note.a: duplicate key"),
        ("huge.json", '"note": 1e999,', "note: inf is not a JSON number"),
        ("digits.json", f'"note": {"9" * 5000},', "not valid JSON: Exceeds the limit"),
        ("twice.yaml", "note: 1, note: 2,", "note: duplicate key"),
        ("nan.yaml", "note: [.nan],", r"note\[0\]: nan is not a JSON number"),
        ("bytes.yaml", "note: !!binary '/////w==',", "note: bytes is not a JSON value"),
        ("set.yaml", "note: !!set {a, b},", "note: set is not a JSON value"),
        ("key.yaml", "note: {? !!binary '/////w==' : 1},", "a key must be text, got bytes"),
        ("date.yaml", "note: 2024-13-45,", "not valid YAML: month must be in 1..12 at line 1"),
        ("tag.yaml", "note: !!int many,", "not valid YAML: invalid literal"),
    ],
)
def test_values_that_json_cannot_hold_are_rejected_with_their_path(
    name: str, line: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text("{" + line + json.dumps(roadmap(concept("a")))[1:])
    with pytest.raises(RoadmapError, match=told):
        load_roadmap(path)


def test_a_duplicate_key_is_reported_with_the_other_errors(tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text('{"roadmap_id": "r", "roadmap_id": 7, "title": "", "stages": []}')
    with pytest.raises(RoadmapError) as caught:
        load_roadmap(path)
    told = "\n".join(caught.value.faults)
    for place in ("title must ", "stages must ", "roadmap_id must be text"):
        assert place in told
    assert "roadmap_id: duplicate key" in told


def test_the_nesting_of_unknown_fields_is_bounded() -> None:
    def nested(levels: int) -> dict[str, object]:
        note: object = "bottom"
        for _ in range(levels):
            note = [note]
        return roadmap(concept("a")) | {"note": note}

    assert parse_roadmap(nested(MAX_DEPTH - 1), source="here").content_hash()
    for levels in (MAX_DEPTH, 300, 900, 100_000):
        assert "nested too deeply" in faults_of(nested(levels))[0]


def test_yaml_can_begin_with_a_brace(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        "{roadmap_id: r, title: R, made: 2024-02-03, stages: [{stage_id: s, name: S, modules: "
        "[{module_id: m, name: M, concepts: [{concept_id: a, name: A}]}]}]}"
    )
    assert '"made":"2024-02-03"' in load_roadmap(path).to_json()


def test_a_file_that_is_too_large_is_rejected_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 10)
    with pytest.raises(RoadmapError, match="larger than 32 MiB"):
        load_roadmap(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read"):
        load_roadmap(tmp_path / "gone.json")


def test_the_hash_depends_on_the_content_and_not_on_its_formatting() -> None:
    one = parse_roadmap(roadmap(concept("a")), source="1")
    same = parse_roadmap(dict(reversed(roadmap(concept("a")).items())), source="2")
    other = parse_roadmap(roadmap(concept("b")), source="3")
    assert one.content_hash() == same.content_hash() != other.content_hash()


def test_half_a_surrogate_pair_is_an_error_and_not_a_crash() -> None:
    assert faults_of(roadmap(concept("a")) | {"note": "\ud800"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["stages", "modules", "concepts", "concept_id", "prerequisites", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_data_is_a_roadmap_or_has_errors(data: object) -> None:
    try:
        assert isinstance(parse_roadmap(data, source="here"), Roadmap)
    except RoadmapError as error:
        assert error.faults


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_rejected(raw: bytes) -> None:
    for yaml_allowed in (True, False):
        try:
            decode(raw, yaml_allowed=yaml_allowed, source="here")
        except RoadmapError as error:
            assert error.faults
