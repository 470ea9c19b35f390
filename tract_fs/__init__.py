"""tract_fs: git-like version control for the context of an LLM agent, on plain files.

Where things are, from the top down; a module imports only from rooms below its own:

    cli/          the command `tract`: a module per group of commands, listed in cli/commands
    tract, async_tract, tracts
                  the API: one open tract, the same for asyncio, and a whole store; each call is a line to a room below
    capture/      sessions of agents on this machine: found, followed, imported, exported
    copies/       syncs and bundles
    upkeep/       status, repair, adoption, packing
    page/         the HTML page of `view`
    work/         calls on one tract: reader, writer, contexts (compiles), branches, merge, queries, search
    transcripts/  formats of sessions and message lists, a module each
    store/        all that touches the disk: files, lock, packs, index, the log of a tract; its glossary
    model/        rules and values alone: commits, events, the view, the compiler, queries, providers
    errors        all exceptions

What to open for a change:

    a call of the API           tract (and async_tract), then the module that it calls
    what a reset may do         work/branches checks the call, model/view decides what its event does
    a field of status()         model/status holds it, upkeep/status fills it, cli/display shows it
    an option of a command      cli/read_commands and its like declare it and pass it on; log checks it in work/log_filter
    what a compile shows        model/compiler and model/arrangement; the reasons in words: model/explanation
    a format of sessions        transcripts/__init__ has the steps
    a provider                  model/providers/__init__ has the steps
    the bytes of a file         FORMAT.md, then model/objects, model/events, model/content; its path: store/address
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tract_fs.async_tract import AsyncBatch, AsyncTract
    from tract_fs.capture.importer import TranscriptReport
    from tract_fs.copies.bundle import verify_bundle
    from tract_fs.errors import (
        AmbiguousRefError,
        ArgumentError,
        BatchOpen,
        BranchExists,
        BranchNotFound,
        BudgetExceeded,
        ClosedError,
        CommitNotFoundError,
        CommitUncertain,
        ContentValidationError,
        ContextTooLarge,
        DamageError,
        EditTargetError,
        ExportError,
        HeadMoved,
        HistoryIncomplete,
        JsonValueError,
        LockTimeout,
        MergeConflict,
        MergeError,
        ObjectTooLarge,
        OrphanedToolCall,
        QueryError,
        ReadOnlyError,
        StoreError,
        StoreGone,
        StoreNotFound,
        SummarizeError,
        TagExists,
        TagNotFound,
        TokenizerError,
        TractDeleted,
        TractError,
        TractNotFound,
        TranscriptFlawed,
        TranscriptFormatUnknown,
        UsageError,
    )
    from tract_fs.model.blame import BlamedLine
    from tract_fs.model.comparison import AnswerComparison, ComparedAnswer
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
        RecordContent,
        ToolIOContent,
        ToolsContent,
    )
    from tract_fs.model.diff import ConfigChange, ContextDiff, DiffedContext, DiffedMessage, DiffEntry
    from tract_fs.model.exchange import BadFile, BundleApplied, BundleInfo, DivergedBranch, SyncReport, Transfer
    from tract_fs.model.explanation import CommitSource, Elsewhere, ExplainedCommit, Explanation, SetPriority
    from tract_fs.model.fitting import FitCandidate
    from tract_fs.model.info import (
        CommitInfo,
        ImportReport,
        PriorityAnnotation,
        ReflogEntry,
        Sibling,
        TokenBudgetConfig,
        TractConfig,
        TractInfo,
    )
    from tract_fs.model.media import Media, MediaCounter, MediaEstimate
    from tract_fs.model.messages import Message
    from tract_fs.model.objects import CommitOperation
    from tract_fs.model.query import Expression, facet, field
    from tract_fs.model.query_groups import QueryGroup
    from tract_fs.model.search import SearchHit
    from tract_fs.model.snapshot import CompiledContext, CompileSnapshot
    from tract_fs.model.status import OtherHeads, PackReport, RepairReport, Status
    from tract_fs.model.tokens import EstimateCounter, TokenCounter, VocabularyCounter
    from tract_fs.model.usage import TokenUsage
    from tract_fs.page.file import PageInfo
    from tract_fs.tract import Tract
    from tract_fs.tracts import Store
    from tract_fs.work.merge import MergeResult
    from tract_fs.work.writer import ANY

__version__ = "0.1.0"
_MODULES = {  # imported on first need, so that the command has its signal handlers before all else
    "tract_fs.errors": [
        "AmbiguousRefError",
        "ArgumentError",
        "BatchOpen",
        "BranchExists",
        "BranchNotFound",
        "BudgetExceeded",
        "ClosedError",
        "CommitNotFoundError",
        "CommitUncertain",
        "ContentValidationError",
        "ContextTooLarge",
        "DamageError",
        "EditTargetError",
        "ExportError",
        "HeadMoved",
        "HistoryIncomplete",
        "JsonValueError",
        "LockTimeout",
        "MergeConflict",
        "MergeError",
        "ObjectTooLarge",
        "OrphanedToolCall",
        "QueryError",
        "ReadOnlyError",
        "StoreError",
        "StoreGone",
        "StoreNotFound",
        "SummarizeError",
        "TagExists",
        "TagNotFound",
        "TokenizerError",
        "TractDeleted",
        "TractError",
        "TractNotFound",
        "TranscriptFlawed",
        "TranscriptFormatUnknown",
        "UsageError",
    ],
    "tract_fs.model.compiler": ["CompileOptions", "ContextCompiler", "HistoryEntry"],
    "tract_fs.model.content": [
        "ArtifactContent",
        "DialogueContent",
        "FreeformContent",
        "InstructionContent",
        "MessageContent",
        "OutputContent",
        "Priority",
        "ReasoningContent",
        "RecordContent",
        "ToolIOContent",
        "ToolsContent",
    ],
    "tract_fs.model.info": [
        "CommitInfo",
        "ImportReport",
        "PriorityAnnotation",
        "ReflogEntry",
        "Sibling",
        "TokenBudgetConfig",
        "TractConfig",
        "TractInfo",
    ],
    "tract_fs.model.media": ["Media", "MediaCounter", "MediaEstimate"],
    "tract_fs.model.messages": ["Message"],
    "tract_fs.model.objects": ["CommitOperation"],
    "tract_fs.model.query": ["Expression", "facet", "field"],
    "tract_fs.model.query_groups": ["QueryGroup"],
    "tract_fs.model.search": ["SearchHit"],
    "tract_fs.model.snapshot": ["CompileSnapshot", "CompiledContext"],
    "tract_fs.model.tokens": ["EstimateCounter", "TokenCounter", "VocabularyCounter"],
    "tract_fs.model.usage": ["TokenUsage"],
    "tract_fs.capture.importer": ["TranscriptReport"],
    "tract_fs.tract": ["Tract"],
    "tract_fs.tracts": ["Store"],
    "tract_fs.async_tract": ["AsyncBatch", "AsyncTract"],
    "tract_fs.work.writer": ["ANY"],
    "tract_fs.copies.bundle": ["verify_bundle"],
    "tract_fs.model.conflicts": ["Conflict", "ConflictSide"],
    "tract_fs.model.blame": ["BlamedLine"],
    "tract_fs.model.comparison": ["AnswerComparison", "ComparedAnswer"],
    "tract_fs.model.explanation": ["CommitSource", "Elsewhere", "ExplainedCommit", "Explanation", "SetPriority"],
    "tract_fs.model.diff": ["ConfigChange", "ContextDiff", "DiffEntry", "DiffedContext", "DiffedMessage"],
    "tract_fs.model.exchange": ["BadFile", "BundleApplied", "BundleInfo", "DivergedBranch", "SyncReport", "Transfer"],
    "tract_fs.model.fitting": ["FitCandidate"],
    "tract_fs.model.status": ["OtherHeads", "PackReport", "RepairReport", "Status"],
    "tract_fs.page.file": ["PageInfo"],
    "tract_fs.work.merge": ["MergeResult"],
}
_OWNERS = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ANY",
    "AmbiguousRefError",
    "AnswerComparison",
    "ArgumentError",
    "ArtifactContent",
    "AsyncBatch",
    "AsyncTract",
    "BadFile",
    "BatchOpen",
    "BlamedLine",
    "BranchExists",
    "BranchNotFound",
    "BudgetExceeded",
    "BundleApplied",
    "BundleInfo",
    "ClosedError",
    "CommitInfo",
    "CommitNotFoundError",
    "CommitOperation",
    "CommitSource",
    "CommitUncertain",
    "ComparedAnswer",
    "CompileOptions",
    "CompileSnapshot",
    "CompiledContext",
    "ConfigChange",
    "Conflict",
    "ConflictSide",
    "ContentValidationError",
    "ContextCompiler",
    "ContextDiff",
    "ContextTooLarge",
    "DamageError",
    "DialogueContent",
    "DiffEntry",
    "DiffedContext",
    "DiffedMessage",
    "DivergedBranch",
    "EditTargetError",
    "Elsewhere",
    "EstimateCounter",
    "ExplainedCommit",
    "Explanation",
    "ExportError",
    "Expression",
    "FitCandidate",
    "FreeformContent",
    "HeadMoved",
    "HistoryEntry",
    "HistoryIncomplete",
    "ImportReport",
    "InstructionContent",
    "JsonValueError",
    "LockTimeout",
    "Media",
    "MediaCounter",
    "MediaEstimate",
    "MergeConflict",
    "MergeError",
    "MergeResult",
    "Message",
    "MessageContent",
    "ObjectTooLarge",
    "OrphanedToolCall",
    "OtherHeads",
    "OutputContent",
    "PackReport",
    "PageInfo",
    "Priority",
    "PriorityAnnotation",
    "QueryError",
    "QueryGroup",
    "ReadOnlyError",
    "ReasoningContent",
    "RecordContent",
    "ReflogEntry",
    "RepairReport",
    "SearchHit",
    "SetPriority",
    "Sibling",
    "Status",
    "Store",
    "StoreError",
    "StoreGone",
    "StoreNotFound",
    "SummarizeError",
    "SyncReport",
    "TagExists",
    "TagNotFound",
    "TokenBudgetConfig",
    "TokenCounter",
    "TokenUsage",
    "TokenizerError",
    "ToolIOContent",
    "ToolsContent",
    "Tract",
    "TractConfig",
    "TractDeleted",
    "TractError",
    "TractInfo",
    "TractNotFound",
    "TranscriptFlawed",
    "TranscriptFormatUnknown",
    "TranscriptReport",
    "Transfer",
    "UsageError",
    "VocabularyCounter",
    "__version__",
    "facet",
    "field",
    "verify_bundle",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of the package

    def __getattr__(name: str) -> object:
        """Returns a name of the package, imported on first need."""
        from importlib import import_module

        if name not in _OWNERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_OWNERS[name]), name)
        return value


def __dir__() -> list[str]:
    return [*globals(), *_OWNERS]
