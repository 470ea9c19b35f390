"""The benchmarks' own inputs: what is measured is what the table says."""

import statistics
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import harness, subject_scale
from benchmarks.payloads import real_texts
from benchmarks.suite_peers import PACKAGES
from tract_fs import Priority, Tract


def test_four_in_a_hundred_messages_are_near_20_kb_and_the_median_is_near_400_bytes() -> None:
    sizes = [len(text) for text in real_texts(5_000)]
    assert 370 < statistics.median(sizes) < 460
    assert 0.03 < sum(16_000 <= size <= 24_100 for size in sizes) / len(sizes) < 0.05
    assert list(real_texts(20)) == list(real_texts(20))


def test_a_store_at_scale_has_the_commits_and_the_effective_ones_that_it_is_named_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject_scale, "BLOCK", 30)
    monkeypatch.setattr(subject_scale, "EFFECTIVE", 60)
    told = subject_scale.build(str(tmp_path), "400")
    with Tract.open(tmp_path, read_only=True) as tract:
        commits, context = tract.log(None), tract.compile()
        by_operation = {
            name: sum(one.operation == name for one in commits) for name in ("append", "annotate", "summarize")
        }
        assert len(commits) == 400
        assert by_operation["annotate"] == 4
        assert by_operation["summarize"] > 5
        assert (told["effective"], context.commit_count) == (60, 60)
        assert len(tract.query_by_config("probe", "=", "the-only-one")) == 1
        skipped = {one.targets[0] for one in commits if one.operation == "annotate"}
        assert all(tract.get_annotations(name)[-1].priority is Priority.SKIP for name in skipped)


def test_every_peer_has_an_adapter() -> None:
    assert all(find_spec(f"benchmarks.peer_{name}") is not None for name in (*PACKAGES, "tract"))


def test_a_measure_runs_on_the_tree_that_it_names_with_the_benchmarks_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("tract_fs", "benchmarks"):
        (tmp_path / "that" / package).mkdir(parents=True)
    (tmp_path / "that/tract_fs/__init__.py").write_text("")
    (tmp_path / "that/benchmarks/__init__.py").write_text("raise SystemExit(1)")
    (tmp_path / "there/tract_fs").mkdir(parents=True)
    (tmp_path / "there/tract_fs/__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path / "there")
    that, where = str(tmp_path / "that"), "import tract_fs; print(tract_fs.__file__);"
    assert harness.output(harness.start("-c", where, root=that)).startswith(that)
    monkeypatch.setattr(harness, "LAUNCH", harness.LAUNCH.replace("name =", f"{where} name ="))
    process = harness.start_module("baseline_append", tmp_path / "appended", 2, root=that)
    assert harness.output(process).startswith(that)
