"""The guides in the package."""

from __future__ import annotations

from importlib import resources


def topics() -> dict[str, str]:
    """Returns the guides in the package: for each name the title of its page."""
    names = sorted(file.name for file in _folder().iterdir() if file.name.endswith(".md"))
    return {
        name.removesuffix(".md"): page_of(name.removesuffix(".md")).partition("\n")[0].lstrip("# ") for name in names
    }


def page_of(topic: str) -> str:
    """Returns the Markdown of a guide."""
    return (_folder() / f"{topic}.md").read_text(encoding="utf-8")


def _folder() -> resources.abc.Traversable:
    return resources.files("tract_fs") / "guide"
