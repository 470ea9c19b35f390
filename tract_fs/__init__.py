"""tract_fs: git-like version control for the context of an LLM agent, on plain files."""

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
    PriorityAnnotation,
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

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "ArtifactContent",
    "CommitInfo",
    "CommitOperation",
    "CompileOptions",
    "CompileSnapshot",
    "CompiledContext",
    "ContextCompiler",
    "DialogueContent",
    "EstimateCounter",
    "FreeformContent",
    "HistoryEntry",
    "InstructionContent",
    "Message",
    "MessageContent",
    "OutputContent",
    "Priority",
    "PriorityAnnotation",
    "ReasoningContent",
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
