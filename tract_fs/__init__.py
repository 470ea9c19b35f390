"""tract_fs: git-like version control for the context of an LLM agent, on plain files."""

from typing import TYPE_CHECKING

from tract_fs.merging import MergeResult
from tract_fs.model.compiler import CompileOptions, ContextCompiler, HistoryEntry
from tract_fs.model.conflicts import Conflict, ConflictSide
from tract_fs.model.content import (
    ArtifactContent,
    DialogueContent,
    FreeformContent,
    InstructionContent,
    MessageContent,
    OutputContent,
    Priority,
    ReasoningContent,
    ToolIOContent,
)
from tract_fs.model.info import (
    CommitInfo,
    PriorityAnnotation,
    ReflogEntry,
    Status,
    TokenBudgetConfig,
    TokenUsage,
    TractConfig,
)
from tract_fs.model.messages import Message
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext, CompileSnapshot
from tract_fs.model.tokens import EstimateCounter, TokenCounter, VocabularyCounter
from tract_fs.tract import Tract
from tract_fs.writing import ANY

if TYPE_CHECKING:
    from tract_fs.model.diff import ConfigChange, ContextDiff, DiffedContext, DiffedMessage, DiffEntry

__version__ = "0.1.0"
_DIFF_NAMES = frozenset(["ConfigChange", "ContextDiff", "DiffEntry", "DiffedContext", "DiffedMessage"])

__all__ = [
    "ANY",
    "ArtifactContent",
    "CommitInfo",
    "CommitOperation",
    "CompileOptions",
    "CompileSnapshot",
    "CompiledContext",
    "ConfigChange",
    "Conflict",
    "ConflictSide",
    "ContextCompiler",
    "ContextDiff",
    "DialogueContent",
    "DiffEntry",
    "DiffedContext",
    "DiffedMessage",
    "EstimateCounter",
    "FreeformContent",
    "HistoryEntry",
    "InstructionContent",
    "MergeResult",
    "Message",
    "MessageContent",
    "OutputContent",
    "Priority",
    "PriorityAnnotation",
    "ReasoningContent",
    "ReflogEntry",
    "Status",
    "TokenBudgetConfig",
    "TokenCounter",
    "TokenUsage",
    "ToolIOContent",
    "Tract",
    "TractConfig",
    "VocabularyCounter",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Returns what a diff is made of, imported on first need."""
    if name in _DIFF_NAMES:
        from tract_fs.model import diff

        return getattr(diff, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
