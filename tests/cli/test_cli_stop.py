"""A command that is stopped ends in silence or says what stands: Ctrl-C, SIGTERM, and a message that can't be stored."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.command import TRACT, Run, shown_texts, write
from tract_fs import Tract
from tract_fs.work.import_stream import MessageStream

LONG = 10_000  # messages: from here on an import takes several transactions


def talk(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": str(n)} for n in range(count)]


def stop_after(monkeypatch: pytest.MonkeyPatch, position: int, number: signal.Signals) -> None:
    """Sends this process a signal while the message at `position` of a streamed import is prepared."""
    prepare = MessageStream._prepare

    def prepare_and_stop(stream: MessageStream, message: dict[str, Any]) -> None:
        prepare(stream, message)
        if message["content"] == str(position):
            signal.raise_signal(number)

    monkeypatch.setattr(MessageStream, "_prepare", prepare_and_stop)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_long_import_that_is_stopped_says_what_stands_and_goes_on(
    store: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    write("long.json", talk(LONG + 500))
    with monkeypatch.context() as patched:
        stop_after(patched, 4_321, number)
        result = store("import", "long.json")
    with Tract.open(".") as t:
        head = t.head
    said = f"tract: stopped: 4,322 of 10,500 messages are committed, up to {head}; continue with --from 4323\n"
    assert (result.code, result.out, result.err) == (130, "", said)
    assert store("import", "long.json", "--from", "4323").code == 0
    assert shown_texts(store) == [str(n) for n in range(LONG + 500)]


def test_a_bad_message_of_a_long_import_is_counted_from_one(store: Run) -> None:
    messages = talk(LONG + 500)
    messages[6_000]["content"] = 2**70
    write("long.json", messages)
    result = store("import", "long.json")
    with Tract.open(".") as t:
        head = t.head
    reason = "field 'message.content': an integer beyond 64 bits can't be stored; give it as a string"
    said = f"message 6001 of the conversation: content of type 'message': {reason}"
    stand = f"6,000 of 10,500 messages are committed, up to {head}; continue with --from 6001 once that is corrected"
    assert (result.code, result.err) == (1, f"tract: {said}; {stand}\n")


def test_a_short_import_that_is_stopped_has_written_nothing(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write("talk.json", talk(300))
    commit = Tract.commit

    def stop(t: Tract, content: Any, **options: Any) -> Any:
        if content.message["content"] == "200":
            signal.raise_signal(signal.SIGTERM)
        return commit(t, content, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Tract, "commit", stop)
        result = store("import", "talk.json")
    assert (result.code, result.err) == (130, "tract: stopped: nothing was written\n")
    assert store("log").err == "no commits yet\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_import_of_all_that_is_stopped_counts_the_conversations(store: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write("c.json", [{"messages": [{"role": "user", "content": str(n)}]} for n in range(5)])
    commit = Tract.commit

    def stop(t: Tract, content: Any, **options: Any) -> Any:
        if content.message["content"] == "2":
            signal.raise_signal(signal.SIGINT)
        return commit(t, content, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Tract, "commit", stop)
        result = store("import", "c.json", "--all")
    said = "tract: stopped: 3 of 5 conversations are committed; run the same command again to continue\n"
    assert (result.code, result.err) == (130, said)
    found = store("import", "c.json", "--all", "--json").document["imported"]
    assert [one["is_new"] for one in found] == [False, False, False, True, True]


def test_a_start_past_the_end_is_a_usage_error(store: Run) -> None:
    write("talk.json", talk(3))
    result = store("import", "talk.json", "--from", "4")
    assert (result.code, "the conversation has 3 messages: --from 4 is past its end" in result.err) == (2, True)
    assert store("import", "talk.json", "--all", "--from", "2").code == 2
    assert store("import", "talk.json", "--from", "3").code == 0
    assert shown_texts(store) == ["2"]


@pytest.mark.parametrize("delay_ms", [0, 20, 50, 90, 150])
def test_an_interrupt_while_modules_are_imported_ends_in_silence(store: Run, tmp_path: Path, delay_ms: int) -> None:
    lines = [
        "import signal, sys",
        "sys.path.insert(0, sys.argv.pop(1))",
        "import tract_fs.cli.entry",
        "listen = signal.signal",
        "def signal_and_say(*arguments):",
        "    signal.signal = listen",
        "    try: return listen(*arguments)",
        "    finally: print(flush=True)",
        "signal.signal = signal_and_say",
        "sys.exit(tract_fs.cli.entry.script())",
    ]
    line = "\n".join(lines)
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", line, root, "log"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.readline()
        time.sleep(delay_ms / 1000)
        child.send_signal(signal.SIGINT)
        error = child.stderr.read()
    assert (child.wait(), b"Traceback" in error) in ((130, False), (0, False))


def test_a_command_in_the_background_stays_deaf_to_the_interrupt(store: Run, tmp_path: Path) -> None:
    """A shell starts `tract … &` with SIGINT ignored."""
    line = f"trap '' INT; {' '.join(TRACT)} commit -m x & kill -INT $!; wait $!"
    assert subprocess.run(["sh", "-c", line], cwd=tmp_path, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert shown_texts(store) == ["x"]
