"""The command that finds commits by what is known of them, and sums them in groups: `tract query`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, reduce
from itertools import chain
from operator import and_
from typing import Any, NamedTuple

import click

from tract_fs import CommitInfo, Expression, QueryGroup, Store, TagNotFound, Tract, facet
from tract_fs.cli.display import show_commits
from tract_fs.cli.invocation import Invocation, with_store
from tract_fs.cli.output import Column, counted, echo_table, inline, one_line, warn
from tract_fs.cli.values import parse_field, parse_moment, read_document, require_plain
from tract_fs.errors import ArgumentError
from tract_fs.model import canonical
from tract_fs.model.config_query import OPERATORS, require_field
from tract_fs.model.content import BUILTIN_TYPES
from tract_fs.model.query import Source, comparison, names_of_facets
from tract_fs.model.query_text import parse_query, parse_source

_WORDS = {"eq": "=", "ne": "!=", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}
_FIELDS = ("commit_hash", "tract_id", "created_at", "operation", "content_type", "token_count", "generation_config")


class _Groups(NamedTuple):
    """How to group commits."""

    by: tuple[str, ...]
    sums: tuple[str, ...]
    prices: Any


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Find commits, and sum them in groups.")
@click.argument("query", nargs=-1, metavar="[EXPRESSION | FIELD OP VALUE]")
@click.option("--nested", "is_nested", is_flag=True, help="FIELD is a path of keys and indexes with dots.")
@click.option("--all-tracts", is_flag=True, help="In all tracts of the store.")
@click.option("--type", "content_type", metavar="TYPE", help="Only contents of this type.")
@click.option("--role", metavar="ROLE", help="Only messages of this role.")
@click.option(
    "--since", metavar="TIME", help="Only commits made at this time or later (ISO 8601; UTC if it has no offset)."
)
@click.option("--until", metavar="TIME", help="Only commits made at this time or before.")
@click.option("--tag", metavar="NAME", help="Only the history of this tag.")
@click.option("--group-by", "by", metavar="FIELDS", help="Count commits by these fields, such as model,@branch.")
@click.option(
    "--sum", "sums", metavar="NAMES", help="Sum tokens, usage, or one count of it, such as usage.prompt_tokens."
)
@click.option("--prices", "file", metavar="FILE", help="JSON: what a million tokens of each model cost; - is stdin.")
@click.option("--csv", "is_csv", is_flag=True, help="Print comma-separated values.")
@with_store
def query(
    invocation: Invocation,
    *,
    query: tuple[str, ...],
    is_nested: bool,
    all_tracts: bool,
    content_type: str | None,
    role: str | None,
    since: str | None,
    until: str | None,
    tag: str | None,
    by: str | None,
    sums: str | None,
    file: str | None,
    is_csv: bool,
) -> None:
    """List the commits that match, whatever branch they are on; with --branch only those in its history.

    \b
    tract query 'temperature > 0.5 and model = "gpt-4o"'
    tract query 'not (stop is set) and @role = "assistant"' --since 2026-01-02
    tract query --group-by model --sum tokens,usage --prices prices.json
    tract query temperature le 0.5                   (one comparison, without quotes)
    tract query --nested response_format.type = json_object

    EXPRESSION compares fields of the generation config (stop[0], response_format.type, "odd key") and facets (@branch
    @tag @tract @type @role @text @operation @time @day @tokens @usage.… @metadata.…) with = != < <= > >= is set, is unset,
    in (…), between … and …, starts with, contains; and, or, not and parentheses join. Text is in quotes. A comparison
    with an absent field is false.

    FIELD is one key of the config, with --nested a path, or a JSON array of keys and indexes. OP is one of = != > <
    >= <=, or a word for it: eq ne gt lt ge le; quote < and >, because the shell reads them. VALUE is JSON where it parses
    as JSON, else text: 1 is a number, '"1"' a string.
    """
    if is_csv and invocation.is_json:
        raise click.UsageError("give --csv or --json, not both")
    filters = [
        *_conditions(query, is_nested=is_nested),
        *_named("branch", invocation.branch),
        *_named("type", content_type),
        *_named("role", role),
        *_named("tag", tag),
        *(() if since is None else (facet("time") >= parse_moment(since, "--since"),)),
        *(() if until is None else (facet("time") <= parse_moment(until, "--until"),)),
    ]
    where = reduce(and_, filters) if filters else None
    groups = None
    if by is not None or sums is not None or file is not None:
        groups = _Groups(_names(by), _names(sums), None if file is None else read_document(file))
    elif where is None:
        raise click.UsageError("give an EXPRESSION, FIELD OP VALUE, a filter, --group-by or --sum")
    if all_tracts:
        with invocation.reading_all() as store:
            _require_type(store, content_type)
            _answer(invocation, store, where, groups, cache(store.tract), is_csv=is_csv)
            for info in store.tracts():
                with store.tract(info.tract_id) as t:
                    invocation.warn_if_incomplete(t)
        return
    with invocation.reading() as t:
        invocation.require_tract(t)
        invocation.require_known_branch(t)
        if tag is not None and tag not in t.tags():
            raise TagNotFound(tract_id=t.tract_id, tag=tag)
        _require_type(t, content_type)
        _answer(invocation, t, where, groups, t, is_csv=is_csv)
        invocation.warn_if_incomplete(t)


def _conditions(query: tuple[str, ...], *, is_nested: bool) -> tuple[Expression, ...]:
    """Returns the condition of EXPRESSION, or of FIELD OP VALUE, if one is given. Errors: click.UsageError; QueryError."""
    if not query and not is_nested:
        return ()
    if len(query) == 1 and not is_nested:
        return (parse_query(query[0]),)
    if len(query) != 3:
        raise click.UsageError(f"give one EXPRESSION in quotes, or FIELD OP VALUE, not: {inline(' '.join(query))}")
    name, operator, value = query
    compare = _WORDS.get(operator, operator)
    if compare not in OPERATORS:
        known = ", ".join((*OPERATORS, *_WORDS))
        raise click.UsageError(f"OP {inline(operator)}: use one of {known}, or give one EXPRESSION in quotes")
    path = require_field(parse_field(name, is_nested=is_nested))
    return (comparison(Source.of(path, is_facet=False), compare, require_plain(value, "VALUE")),)


def _named(name: str, value: str | None) -> tuple[Expression, ...]:
    return () if value is None else (facet(name) == value,)


def _require_type(source: Tract | Store, name: str | None) -> None:
    """Raises ArgumentError for a type of content that is not built in, and that no commit has: a name that was mistyped."""
    if name is not None and name not in BUILTIN_TYPES and not source.query(facet("type") == name):
        raise ArgumentError(f"--type {name!r}: not built in, and no commit here has it")


def _names(given: str | None) -> tuple[str, ...]:
    """Returns the fields of an option, between commas; one whose text has quotes stands alone."""
    if given is None:
        return ()
    return (given,) if '"' in given or "'" in given else tuple(name.strip() for name in given.split(","))


def _answer(
    invocation: Invocation,
    source: Tract | Store,
    where: Expression | None,
    groups: _Groups | None,
    shown: Tract | Callable[[str], Tract],
    *,
    is_csv: bool,
) -> None:
    if groups is not None:
        found = source.aggregate(groups.by, sum=groups.sums, where=where, prices=groups.prices)
        invocation.answer(
            lambda: [group.to_dict() for group in found],
            lambda: _echo_csv(_group_rows(found)) if is_csv else _show_groups(found),
        )
        absent = [name for name in (found[0].key if found else ()) if all(group.key[name] is None for group in found)]
        _hint([] if where is None or found else where.sources(), [parse_source(name).source for name in absent])
        return
    assert where is not None
    infos = source.query(where)
    invocation.answer(
        lambda: [info.to_dict() for info in infos],
        lambda: _echo_csv(_commit_rows(infos)) if is_csv else show_commits(shown, infos, is_config_shown=True),
    )
    _hint([] if infos else where.sources())


def _hint(*sources: Iterable[Source]) -> None:
    """Warns of fields that no commit has and that have the names of facets."""
    for name in names_of_facets(chain(*sources)):
        warn(f"{name} without @ is a field of the generation config; for the {name} of a commit write @{name}")


def _show_groups(found: Sequence[QueryGroup]) -> None:
    """Prints groups, one a line."""
    if not found:
        click.echo("no commit matches", err=True)
        return
    first = found[0]
    columns = [Column(one_line(name), style="yellow") for name in first.key]
    columns += [Column(_short(name), is_number=True) for name in ("commits", *first.sums)]
    columns += [] if first.cost is None else [Column("cost", is_number=True)]
    rows = [
        [
            *("(none)" if value is None else one_line(_cell(value)) for value in group.key.values()),
            *(f"{count:,}" for count in (group.count, *group.sums.values())),
            *(() if group.cost is None else (f"{group.cost:,.4f}",)),
        ]
        for group in found
    ]
    echo_table(columns, rows)
    unpriced = sum(group.unpriced_count for group in found)
    if unpriced:
        warn(f"the cost leaves out {counted(unpriced, 'commit')} with usage: no price is given for the model")


def _short(name: str) -> str:
    return name.removeprefix("usage.").removesuffix("_tokens").replace("_", " ")


def _group_rows(found: Sequence[QueryGroup]) -> Iterator[list[object]]:
    if found:
        costs = [] if found[0].cost is None else ["cost", "unpriced_count"]
        yield [*found[0].key, "count", *found[0].sums, *costs]
    for group in found:
        costs_of = [] if group.cost is None else [group.cost, group.unpriced_count]
        yield [*group.key.values(), group.count, *group.sums.values(), *costs_of]


def _commit_rows(infos: Sequence[CommitInfo]) -> Iterator[list[object]]:
    yield list(_FIELDS)
    for info in infos:
        fields = info.to_dict()
        yield [fields[name] for name in _FIELDS]


def _cell(value: object) -> str:
    """Returns a value as a person reads it, on one line: a string as it is, else JSON; null is empty."""
    if isinstance(value, str):
        return inline(value)
    return "" if value is None else inline(canonical.encode(value).decode())


def _echo_csv(rows: Iterable[list[object]]) -> None:
    """Prints rows as RFC 4180 has them, in UTF-8; line ends and controls in a text are escapes."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    click.echo(text.getvalue().encode(), nl=False)


COMMANDS = (query,)
