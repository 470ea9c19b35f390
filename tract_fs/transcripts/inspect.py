"""Logs of Inspect, `{eval, samples: [{id, epoch, messages}]}`, or one of their samples; each sample is a session.

A message is kept as the log has it. Source of the shapes: Inspect's log schema (inspect_ai.log.EvalLog).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.model.fields import Fields, fields_in, fields_of, items_of, picked, text_in
from tract_fs.transcripts.document import assemble_document, split_document
from tract_fs.transcripts.linear import read_linear
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.message_lists import is_message
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Keys, Transcript

NAME = "inspect"


def matches(source: Source) -> bool:
    """Returns whether the file is the log of an evaluation with its samples, or a sample."""
    document = fields_of(source.document)
    is_log = isinstance(document.get("eval"), dict) and "samples" in document
    return is_log or (isinstance(document.get("messages"), list) and "epoch" in document and "target" in document)


def read(source: Source) -> list[Transcript]:
    """Returns a session for each sample; its export is the sample, not the log."""
    document, is_clean = source.exact_document
    log = fields_of(document)
    samples = [sample for sample in items_of(log.get("samples", [log])) if isinstance(sample, dict)]
    keys = Keys()
    of_each = (_session(source, fields_in(log, "eval"), sample, is_clean, keys) for sample in samples)
    return [session for sessions in of_each for session in sessions]


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of an exported sample."""
    return assemble_document(values, "messages")


def _session(source: Source, log: Fields, sample: Fields, is_clean: bool, keys: Keys) -> list[Transcript]:
    units = split_document(sample, is_clean, "messages")
    generated = {**fields_in(log, "model_generate_config"), **picked(log, "model")}

    def meaning(message: Fields, position: int) -> Fields:
        if position == 0:
            return {"at_us": time_us(log.get("created"))}
        is_made = message.get("role") == "assistant"
        return {
            "contents": [message] if is_message(message) else [],
            "config": {**generated, **picked(message, "model")} if is_made else None,
            "metadata": {name: message[name] for name in ("id", "source") if text_in(message, name)},
        }

    name = "-".join(str(part) for part in (log.get("eval_id", source.name), sample.get("id"), sample.get("epoch")))
    return read_linear(
        NAME,
        source,
        units,
        meaning,
        id_of=lambda message: message.get("id"),
        has_head=True,
        id=keys.of(name, 0),
        title=" ".join(str(part) for part in (text_in(log, "task"), sample.get("id")) if part not in ("", None)),
        metadata=picked(log, "task", "model", "created", "run_id"),
    )
