"""Fits a context to a budget for good: commits the skips and edits that a fit plans, in one transaction."""

from __future__ import annotations

from tract_fs.model.compiler import CompileOptions
from tract_fs.model.content import Priority
from tract_fs.model.fitting import Fit
from tract_fs.model.objects import CommitOperation
from tract_fs.model.snapshot import CompiledContext
from tract_fs.work.session import Session
from tract_fs.work.writer import ANY, ExpectedHead


def fit_context(session: Session, fit: Fit, *, message: str | None, expected_head: ExpectedHead) -> CompiledContext:
    """Commits what makes the context of the head fit, and returns it; see the facade. Call it in a batch."""
    writer, contexts = session.writer, session.contexts
    with writer.transaction(expected_head):
        snapshot, plan = contexts.plan_fit(fit)
    commits, configs = snapshot.commit_hashes, snapshot.generation_configs
    reason = message if message is not None else f"to fit in {fit.max_tokens} tokens"
    for position, (content, _) in sorted(plan.shortened.items()):
        draft = writer.draft(
            content,
            operation=CommitOperation.EDIT,
            target=commits[position],
            message=reason,
            generation_config=configs[position] or None,
        )
        writer.write(draft, ANY)
    for position in sorted(plan.left_out):
        writer.annotate(commits[position], Priority.SKIP, reason=reason, expected_head=ANY)
    context = contexts.compile(at_time=None, at_commit=None, options=CompileOptions())
    for warning in plan.warnings:
        context.add_warning(warning)
    return context
