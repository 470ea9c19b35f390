"""tract_fs: git-like version control for the context of an LLM agent, on plain files."""

from importlib import import_module
from typing import TYPE_CHECKING

from tract_fs.model.compiler import CompileOptions, ContextCompiler, HistoryEntry
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
    ImportReport,
    PriorityAnnotation,
    ReflogEntry,
    TokenBudgetConfig,
    TokenUsage,
    TractConfig,
)
from tract_fs.model.messages import Message
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext, CompileSnapshot
from tract_fs.model.tokens import EstimateCounter, TokenCounter, VocabularyCounter
from tract_fs.tract import Tract
from tract_fs.work.writer import ANY

if TYPE_CHECKING:
    from tract_fs.copies.bundle import verify_bundle
    from tract_fs.model.conflicts import Conflict, ConflictSide
    from tract_fs.model.diff import ConfigChange, ContextDiff, DiffedContext, DiffedMessage, DiffEntry
    from tract_fs.model.exchange import BadFile, BundleApplied, BundleInfo, SyncReport, Transfer
    from tract_fs.model.status import PackReport, RepairReport, Status
    from tract_fs.work.merge import MergeResult

__version__ = "0.1.0"
_ON_NEED = {
    "tract_fs.copies.bundle": ["verify_bundle"],
    "tract_fs.model.conflicts": ["Conflict", "ConflictSide"],
    "tract_fs.model.diff": ["ConfigChange", "ContextDiff", "DiffEntry", "DiffedContext", "DiffedMessage"],
    "tract_fs.model.exchange": ["BadFile", "BundleApplied", "BundleInfo", "SyncReport", "Transfer"],
    "tract_fs.model.status": ["PackReport", "RepairReport", "Status"],
    "tract_fs.work.merge": ["MergeResult"],
}

__all__ = [
    "ANY",
    "ArtifactContent",
    "BadFile",
    "BundleApplied",
    "BundleInfo",
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
    "ImportReport",
    "InstructionContent",
    "MergeResult",
    "Message",
    "MessageContent",
    "OutputContent",
    "PackReport",
    "Priority",
    "PriorityAnnotation",
    "ReasoningContent",
    "ReflogEntry",
    "RepairReport",
    "Status",
    "SyncReport",
    "TokenBudgetConfig",
    "TokenCounter",
    "TokenUsage",
    "ToolIOContent",
    "Tract",
    "TractConfig",
    "Transfer",
    "VocabularyCounter",
    "__version__",
    "verify_bundle",
]


def __getattr__(name: str) -> object:
    """Returns what few programs need, imported on first need."""
    for module, names in _ON_NEED.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
