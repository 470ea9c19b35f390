"""Logs of Inspect, `{eval, samples: [{id, epoch, messages}]}`, or one of their samples; each sample is a session.

A message is kept as the log has it. Source of the shapes: Inspect's log schema (inspect_ai.log.EvalLog).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tract_fs.transcripts.document import HEAD, assemble_document, flaws_of, split_document
from tract_fs.transcripts.fields import Fields, fields_in, fields_of, items_of, picked, text_in
from tract_fs.transcripts.measures import time_us
from tract_fs.transcripts.message_lists import is_message
from tract_fs.transcripts.source import Source
from tract_fs.transcripts.transcript import Branch, Entry, Keys, Transcript
from tract_fs.transcripts.units import Unit

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
    return [_session(source, fields_in(log, "eval"), sample, is_clean, keys) for sample in samples]


def assemble(values: Sequence[Any]) -> bytes:
    """Returns the document of an exported sample."""
    return assemble_document(values, "messages")


def _session(source: Source, log: Fields, sample: Fields, is_clean: bool, keys: Keys) -> Transcript:
    units = split_document(sample, is_clean, "messages")
    names = Keys()
    found = [names.of(fields_of(unit.value).get("id"), place) for place, unit in enumerate(units[1:], 1)]
    generated = {**fields_in(log, "model_generate_config"), **picked(log, "model")}

    def entry(position: int) -> Entry:
        unit = units[position]
        if position == 0:
            return Entry.of(unit, key=HEAD, at_us=time_us(log.get("created")))
        return Entry.of(
            unit,
            key=found[position - 1],
            contents=[unit.value] if is_message(unit.value) else [],
            config=_config(unit, generated),
            metadata={name: unit.value[name] for name in ("id", "source") if text_in(unit.value, name)},
        )

    name = "-".join(str(part) for part in (log.get("eval_id", source.name), sample.get("id"), sample.get("epoch")))
    return Transcript(
        format=NAME,
        id=keys.of(name, 0),
        branches=[Branch("main", range(len(units)))],
        entry=entry,
        count=len(units),
        title=" ".join(str(part) for part in (text_in(log, "task"), sample.get("id")) if part not in ("", None)),
        metadata=picked(log, "task", "model", "created", "run_id"),
        flaws=[*flaws_of(units), *names.flaws],
        encoding=source.encoding,
    )


def _config(unit: Unit, generated: Fields) -> Fields | None:
    message = fields_of(unit.value)
    return {**generated, **picked(message, "model")} or None if message.get("role") == "assistant" else None
