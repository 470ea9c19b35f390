"""Config queries: JSON's own types, whole keys, nested paths; and the facade's answer in its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.states import remove_local
from tests.lab.talk import Clock, say_one, user
from tract_fs import DialogueContent, Tract, TractConfig
from tract_fs.errors import ArgumentError, TractError
from tract_fs.model.config_query import FieldColumn, require_field, require_operator, require_scalar

VALUES: dict[str, Any] = {
    "zero": 0,
    "one": 1,
    "one point zero": 1.0,
    "half": 0.5,
    "minus": -1,
    "true": True,
    "false": False,
    "null": None,
    "text one": "1",
    "empty text": "",
    "a": "a",
    "B": "B",
    "list": [1],
    "object": {"a": 1},
}
ANSWERS: list[tuple[str, Any, set[str]]] = [
    ("=", 1, {"one", "one point zero"}),
    ("=", 1.0, {"one", "one point zero"}),
    ("!=", 1, {"zero", "half", "minus"}),
    (">", 0, {"one", "one point zero", "half"}),
    (">=", 0, {"zero", "one", "one point zero", "half"}),
    ("<", 0.5, {"zero", "minus"}),
    ("<=", 0.5, {"zero", "half", "minus"}),
    ("=", -0.0, {"zero"}),
    ("=", True, {"true"}),
    ("!=", True, {"false"}),
    ("=", False, {"false"}),
    ("!=", False, {"true"}),
    (">", False, set()),
    (">=", True, set()),
    ("<", True, set()),
    ("<=", True, set()),
    ("=", None, {"null"}),
    ("!=", None, set()),
    (">", None, set()),
    ("<=", None, set()),
    ("=", "1", {"text one"}),
    ("!=", "1", {"empty text", "a", "B"}),
    (">", "", {"text one", "a", "B"}),
    (">=", "", {"text one", "empty text", "a", "B"}),
    ("<", "a", {"text one", "empty text", "B"}),
    ("<=", "B", {"text one", "empty text", "B"}),
    ("=", "true", set()),
    ("=", "null", set()),
]


def column(path: tuple[str | int, ...], configs: dict[str, Any]) -> tuple[FieldColumn, list[str]]:
    made = FieldColumn(path)
    made.add(enumerate(configs.values()))
    return made, list(configs)


@pytest.mark.parametrize(("operator", "value", "names"), ANSWERS)
def test_a_value_compares_with_its_own_type_only(operator: str, value: Any, names: set[str]) -> None:
    made, all_names = column(("f",), {name: {"f": one} for name, one in VALUES.items()})
    assert {all_names[number] for number in made.select(operator, value)} == names


@pytest.mark.parametrize("operator", ["=", "!=", ">", "<", ">=", "<="])
@pytest.mark.parametrize("value", [1, "a", True, None])
def test_a_config_without_the_field_never_matches(operator: str, value: Any) -> None:
    made, _ = column(("f",), {"empty": {}, "other": {"g": value}, "inside": {"h": {"f": value}}})
    assert made.select(operator, value) == []


def test_strings_compare_by_code_point() -> None:
    made, names = column(("f",), {c: {"f": c} for c in ("Z", "a", "é", "e\u0301", "\uffff", "\U0001f600")})
    assert {names[n] for n in made.select("<", "é")} == {"Z", "a", "e\u0301"}
    assert {names[n] for n in made.select(">", "\uffff")} == {"\U0001f600"}
    assert {names[n] for n in made.select("=", "é")} == {"é"}


def test_large_integers_and_floats_compare_exactly() -> None:
    values = {"int": 2**53, "float": float(2**53), "next": 2**53 + 1, "most": 2**64 - 1, "least": -(2**63)}
    made, names = column(("f",), {name: {"f": value} for name, value in values.items()})
    assert {names[n] for n in made.select("=", 2**53)} == {"int", "float"}
    assert {names[n] for n in made.select("=", 2**53 + 1)} == {"next"}
    assert {names[n] for n in made.select(">", float(2**53))} == {"next", "most"}
    assert {names[n] for n in made.select("=", float(2**64))} == set()
    assert {names[n] for n in made.select("<", float(2**64))} == {"int", "float", "next", "most", "least"}


def test_a_tuple_is_a_path_of_keys_and_indexes() -> None:
    configs = {
        "there": {"stop": [{"at": "end"}, "x"]},
        "shorter": {"stop": []},
        "other type": {"stop": "end"},
        "object with a digit": {"stop": {"0": {"at": "end"}}},
    }
    made, names = column(("stop", 0, "at"), configs)
    assert [names[n] for n in made.select("=", "end")] == ["there"]
    made, names = column(("stop", "0", "at"), configs)
    assert [names[n] for n in made.select("=", "end")] == ["object with a digit"]
    made, names = column(("stop", 1), configs)
    assert [names[n] for n in made.select("=", "x")] == ["there"]


def test_an_index_does_not_enter_a_string() -> None:
    made, _ = column(("f", 0), {"text": {"f": "abc"}})
    assert made.select("=", "a") == []


def test_a_string_is_one_key_whatever_characters_it_holds() -> None:
    for key in ("a.b", "a[0]", "$", "", " ", "'", '"', "日本", "\x00", "a/b", "top_p; drop table commits"):
        assert require_field(key) == (key,)
        made, names = column(require_field(key), {"whole": {key: 1}, "nested": {"a": {"b": 1, "0": 1}}})
        assert [names[n] for n in made.select("=", 1)] == ["whole"]


def test_configs_may_be_added_in_several_steps() -> None:
    made = FieldColumn(("f",))
    made.add([(0, {"f": 3}), (1, {"f": 1})])
    made.add([(2, {"f": 2})])
    assert sorted(made.select(">=", 2)) == [0, 2]


@pytest.mark.parametrize(
    "field", [None, 1, 1.0, b"f", ["f"], {"f": 1}, (), (True,), ("a", 1.0), ("a", None), ("a", -1)]
)
def test_what_is_no_field_is_refused(field: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^field ") as caught:
        require_field(field)
    assert isinstance(caught.value, ValueError)
    assert repr(field) in str(caught.value)


@pytest.mark.parametrize("operator", ["==", "<>", "~", "like", "in", "", " =", "=\n", None, 1, b"=", ["="]])
def test_what_is_no_operator_is_refused(operator: Any) -> None:
    with pytest.raises(ValueError, match=r"^Unsupported operator ") as caught:
        require_operator(operator)
    assert isinstance(caught.value, TractError)


@pytest.mark.parametrize(
    "value",
    [[], {}, (1,), {1}, b"x", 1j, object(), float("nan"), "\ud800"],
)
def test_a_value_that_is_no_json_scalar_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^value ") as caught:
        require_scalar(value)
    assert isinstance(caught.value, ArgumentError)


# the facade


def found(t: Tract, field: Any, operator: str, value: Any) -> list[str]:
    return [info.commit_hash for info in t.query_by_config(field, operator, value)]


@pytest.fixture
def t(tmp_path: Path) -> Any:
    with Tract.open(tmp_path / "c", durability="fast", clock=Clock()) as opened:
        yield opened


def test_a_query_tells_all_of_a_commit(t: Tract) -> None:
    info = t.commit(user("hi"), message="m", metadata={"a": [1]}, generation_config={"model": "m-1", "top_p": 0.5})
    assert [one.to_dict() for one in t.query_by_config("model", "=", "m-1")] == [info.to_dict()]
    assert t.query_by_config("model", "=", "m-1")[0].generation_config == {"model": "m-1", "top_p": 0.5}


def test_a_tract_without_commits_answers_with_nothing(t: Tract) -> None:
    assert t.query_by_config("model", "=", "m-1") == []


def test_commits_without_a_config_never_match(t: Tract) -> None:
    say_one(t, "a")
    say_one(t, "b", generation_config={})
    assert found(t, "model", "!=", "m-1") == []


def test_answers_come_by_time_then_hash(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "c", durability="fast", clock=Clock()) as t:
        names = [say_one(t, f"text {n}", generation_config={"model": f"m-{n % 3}", "n": n}) for n in range(12)]
        assert found(t, "n", ">=", 0) == names
        assert found(t, "model", "=", "m-1") == [names[n] for n in (1, 4, 7, 10)]
        assert found(t, "model", "!=", "m-1") == [names[n] for n in (0, 2, 3, 5, 6, 8, 9, 11)]


def test_equal_configs_of_different_key_order_are_one(t: Tract) -> None:
    first = say_one(t, "a", generation_config={"model": "m-1", "n": 1})
    second = say_one(t, "b", generation_config={"n": 1, "model": "m-1"})
    assert found(t, "n", "=", 1) == [first, second]


def test_an_edit_is_found_by_its_own_config_and_its_target_by_its_own(t: Tract) -> None:
    original = say_one(t, "a", generation_config={"model": "m-1"})
    edit = t.edit(original, user("b"), generation_config={"model": "m-2"}).commit_hash
    assert found(t, "model", "=", "m-1") == [original]
    assert found(t, "model", "=", "m-2") == [edit]


def test_a_skipped_commit_is_still_found(t: Tract) -> None:
    name = say_one(t, "a", generation_config={"model": "m-1"})
    t.annotate(name, "skip")
    assert found(t, "model", "=", "m-1") == [name]


def test_a_query_sees_what_was_committed_since_the_last(t: Tract) -> None:
    first = say_one(t, "a", generation_config={"n": 1})
    assert found(t, "n", ">", 0) == [first]
    second = say_one(t, "b", generation_config={"n": 2})
    assert found(t, "n", ">", 0) == [first, second]


def test_a_query_sees_what_another_handle_committed(t: Tract, tmp_path: Path) -> None:
    first = say_one(t, "a", generation_config={"n": 1})
    assert found(t, "n", ">", 0) == [first]
    with Tract.open(tmp_path / "c", durability="fast") as other:
        second = say_one(other, "b", generation_config={"n": 2})
        assert found(other, "n", ">", 0) == [first, second]
    assert found(t, "n", ">", 0) == [first, second]


def test_a_query_in_a_batch_sees_what_the_batch_staged(t: Tract) -> None:
    first = say_one(t, "a", generation_config={"n": 1})
    with t.batch():
        second = say_one(t, "b", generation_config={"n": 2})
        assert found(t, "n", ">", 0) == [first, second]
        assert found(t, "n", "=", 3) == []


def test_a_query_does_not_see_what_a_broken_batch_staged(t: Tract) -> None:
    first = say_one(t, "a", generation_config={"n": 1})
    with pytest.raises(KeyError), t.batch():
        say_one(t, "b", generation_config={"n": 2})
        raise KeyError
    assert found(t, "n", ">", 0) == [first]


def test_tracts_of_one_store_do_not_see_each_others_configs(tmp_path: Path) -> None:
    with (
        Tract.open(tmp_path / "c", tract_id="a", durability="fast", clock=Clock()) as a,
        Tract.open(tmp_path / "c", tract_id="b", durability="fast", clock=Clock()) as b,
    ):
        first = say_one(a, "same", generation_config={"model": "of a"})
        second = say_one(b, "same", generation_config={"model": "of b"})
        assert first == second
        assert [info.generation_config for info in a.query_by_config("model", ">", "")] == [{"model": "of a"}]
        assert [info.generation_config for info in b.query_by_config("model", ">", "")] == [{"model": "of b"}]


def test_stored_values_keep_their_types_without_local(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        names = {key: say_one(t, key, generation_config={"f": value}) for key, value in VALUES.items()}
    by_name = {name: key for key, name in names.items()}
    for is_removed in (False, True):
        if is_removed:
            remove_local(path)
        with Tract.open(path, durability="fast") as t:
            for operator, value, keys in ANSWERS:
                assert {by_name[name] for name in found(t, "f", operator, value)} == keys


def test_many_configs_are_found_by_a_fresh_handle(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Tract.open(path, durability="fast", clock=Clock()) as t:
        with t.batch():
            names = [say_one(t, f"text {n}", generation_config={"n": n, "even": n % 2 == 0}) for n in range(300)]
        assert found(t, "n", "=", 123) == [names[123]]
    with Tract.open(path, durability="fast", read_only=True) as t:
        assert found(t, "n", ">=", 297) == names[297:]
        assert found(t, "even", "=", True) == names[::2]


@pytest.mark.parametrize(
    "given",
    [
        ("model", "==", 1),
        (1, "=", 1),
        ((), "=", 1),
        ("model", "=", []),
        ("model", "<", float("nan")),
    ],
)
def test_a_query_that_can_not_be_understood_is_an_error_even_without_commits(t: Tract, given: Any) -> None:
    with pytest.raises(ArgumentError):
        t.query_by_config(*given)
    name = say_one(t, "a", generation_config={"model": 1})
    assert found(t, "model", "=", 1) == [name]


@pytest.mark.parametrize(
    ("operator", "value", "wanted"),
    [
        (">", 2**70, ["real"]),
        ("<", 2**70, ["small", "large"]),
        ("!=", 2**70, ["small", "large", "real"]),
        ("=", 2**70, []),
        ("<", float("inf"), ["small", "large", "real"]),
        (">", -float("inf"), ["small", "large", "real"]),
        (">=", float("inf"), []),
        (">", -(10**400), ["small", "large", "real"]),
        ("<", 10**400, ["small", "large", "real"]),
        (">", 2**64 - 2, ["large", "real"]),
    ],
)
def test_a_number_that_no_config_can_hold_compares_as_any_other(
    t: Tract, operator: str, value: float, wanted: list[str]
) -> None:
    configs = {"small": 1, "large": 2**64 - 1, "real": 1e300, "text": "2"}
    names = {say_one(t, text, generation_config={"seed": number}): text for text, number in configs.items()}
    assert [names[name] for name in found(t, "seed", operator, value)] == wanted


def test_a_small_cache_gives_the_same_answers(tmp_path: Path) -> None:
    with Tract.open(tmp_path / "c", durability="fast", config=TractConfig(snapshot_cache_size=1)) as t:
        name = t.commit(DialogueContent(role="user", text="a"), generation_config={"n": 1}).commit_hash
        assert found(t, "n", "=", 1.0) == [name]
