"""What scans the texts: StringZilla from version 5 on, where it is installed; else Python's own search."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tract_fs.store.index import texts


def loaded_beside(found: object, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Returns a second copy of the module, as it is where `found` is the package stringzilla."""
    monkeypatch.setitem(sys.modules, "stringzilla", found)
    spec = importlib.util.spec_from_file_location("tract_fs.store.index.another", texts.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("found", "is_fast"),
    [
        (None, False),
        (SimpleNamespace(__version__="4.4.0"), False),
        (SimpleNamespace(__version__="5.0.7"), True),
        (SimpleNamespace(__version__="10.1"), True),
    ],
)
def test_a_version_that_reads_past_the_end_of_a_text_is_not_used(
    found: object, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaded_beside(found, monkeypatch)._IS_FAST is is_fast
