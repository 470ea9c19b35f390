"""Real tools that carry the files of two copies to each other: rsync, git, unison, rclone, syncthing. Each is set up in a directory of its own, apart from its user's settings."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from tests.lab.states import files_of

GIT_SETTINGS = """[user]
name = Ann
email = ann@example.org
[init]
defaultBranch = main
[core]
fsync = none
[gc]
auto = 0
"""


class ToolFailed(AssertionError):
    """A tool ended with an error, which it does where it meets a conflict."""


class Transport:
    """A tool, and the two directories that it keeps alike."""

    renames_equal_files: ClassVar[bool] = False  # where both sides made the same file

    def __init__(self, folder: Path, one: Path, other: Path, rng: random.Random) -> None:
        self.folder, self.one, self.other, self.rng = folder, one, other, rng
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "HOME": str(folder),
            "LC_ALL": "C",
        }
        self.set_up()

    def set_up(self) -> None:
        """Does what comes before the first sync."""

    def sync(self) -> None:
        """Lets the tool bring both directories to the same files."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends what the tool has running."""

    def run(self, *command: str | Path) -> str:
        """Runs a command, which must succeed; returns what it prints."""
        done = subprocess.run(
            list(map(str, command)), env=self.environment, capture_output=True, text=True, check=False, timeout=240
        )
        if done.returncode:
            raise ToolFailed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout


class Rsync(Transport):
    """As the guide has it."""

    options: tuple[str, ...] = ("--ignore-existing", "--exclude=/.tract/local/")

    def sync(self) -> None:
        for source, target in ((self.one, self.other), (self.other, self.one)):
            self.run("rsync", "-a", *self.options, f"{source}/", f"{target}/")


class RsyncInPlace(Rsync):
    """Plain, and into the files themselves."""

    options = ("--inplace", "--exclude=/.tract/local/")


class Git(Transport):
    """Two clones that commit all and pull from each other, by merge or by rebase."""

    def set_up(self) -> None:
        (self.folder / ".gitconfig").write_text(GIT_SETTINGS)
        self.environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
        self.git(self.one, "init", "-q")
        self.commit(self.one)
        self.git(self.other, "init", "-q")
        self.git(self.other, "pull", "-q", self.one, "main")

    def sync(self) -> None:
        for path in (self.one, self.other):
            self.commit(path)
        how = self.rng.choice(("--no-rebase", "--rebase"))
        self.git(self.one, "pull", "-q", how, "--no-edit", self.other, "main")
        self.git(self.other, "pull", "-q", "--no-rebase", "--no-edit", self.one, "main")

    def commit(self, path: Path) -> None:
        self.git(path, "add", "-A")
        self.git(path, "commit", "-q", "--allow-empty", "-m", "work")

    def git(self, path: Path, *arguments: str | Path) -> str:
        return self.run("git", "-C", path, *arguments)


class Unison(Transport):
    """Both ways, deletions too."""

    def set_up(self) -> None:
        self.environment["UNISON"] = str(self.folder / "unison")
        self.sync()

    def sync(self) -> None:
        self.run("unison", self.one, self.other, "-batch", "-ignore", "Path .tract/local", "-fastcheck", "false")


class Rclone(Transport):
    """`rclone bisync`, deletions too. Versions before 1.64 rename a file that both sides made to `..path1` and `..path2`."""

    renames_equal_files = True

    def set_up(self) -> None:
        (self.folder / "filters").write_text("- /.tract/local/**\n")
        self.bisync("--resync")

    def sync(self) -> None:
        self.bisync()

    def bisync(self, *options: str) -> None:
        self.run(
            *("rclone", "bisync", self.one, self.other, "--filters-file", self.folder / "filters"),
            *(
                "--workdir",
                self.folder / "bisync",
                "--config",
                self.folder / "rclone.conf",
                "--max-delete",
                "100",
                *options,
            ),
        )


class Syncthing(Transport):
    """Two daemons of this machine that share a folder; nothing leaves the machine."""

    key = "for-this-test-alone"
    timeout_s = 200.0

    def set_up(self) -> None:
        self.daemons = [Daemon(self, path) for path in (self.one, self.other)]
        ids = [daemon.get("/rest/system/status")["myID"] for daemon in self.daemons]
        for daemon, other, peer in zip(self.daemons, self.daemons[::-1], ids[::-1], strict=True):
            daemon.share(ids, peer, other.port)
        self.sync()

    def sync(self) -> None:
        paths = (self.one, self.other)
        deadline = time.monotonic() + self.timeout_s
        for daemon in self.daemons:
            daemon.scan()
        while not all(daemon.is_done() for daemon in self.daemons) or len({frozenset(files_of(p)) for p in paths}) > 1:
            if time.monotonic() > deadline:
                raise ToolFailed(f"not in sync: {[daemon.get('/rest/db/status?folder=f') for daemon in self.daemons]}")
            time.sleep(0.1)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.process.terminate()
            daemon.process.wait(120)


class Daemon:
    """One syncthing, with the directory that it shares."""

    def __init__(self, transport: Syncthing, path: Path) -> None:
        self.path, self.home = path, transport.folder / f"home-{path.name}"
        self.gui, self.port = free_port(), free_port()
        (path / ".stignore").write_text("/.tract/local\n")
        transport.run("syncthing", "generate", f"--home={self.home}", "--no-default-folder")
        self.process = subprocess.Popen(
            [
                *("syncthing", "serve", f"--home={self.home}", "--no-browser", "--no-upgrade", "--no-restart"),
                *(f"--gui-address=127.0.0.1:{self.gui}", f"--gui-apikey={transport.key}"),
            ],
            env=transport.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(1000):
            with suppress(OSError):
                self.get("/rest/system/ping")
                break
            time.sleep(0.1)

    def get(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """Asks the daemon; returns what it answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.gui}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": Syncthing.key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            data = answer.read()
        return json.loads(data) if data.strip() else None

    def share(self, ids: list[str], peer: str, port: int) -> None:
        """Shares the directory with the other daemon, and nothing with the world."""
        options = self.get("/rest/config/options")
        options |= dict.fromkeys(
            ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"), False
        )
        options |= {"listenAddresses": [f"tcp://127.0.0.1:{self.port}"], "urAccepted": -1, "reconnectionIntervalS": 1}
        self.get("/rest/config/options", "PUT", options)
        self.get("/rest/config/devices", "POST", {"deviceID": peer, "addresses": [f"tcp://127.0.0.1:{port}"]})
        folder = {"id": "f", "path": str(self.path), "devices": [{"deviceID": name} for name in ids]}
        self.get("/rest/config/folders", "POST", {**folder, "fsWatcherEnabled": False, "rescanIntervalS": 0})

    def scan(self) -> None:
        self.get("/rest/db/scan?folder=f", "POST")

    def is_done(self) -> bool:
        status = self.get("/rest/db/status?folder=f")
        return status["state"] == "idle" and not status["needTotalItems"] and not status["errors"]


def free_port() -> int:
    """Returns a port of this machine that nobody uses."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


TRANSPORTS: dict[str, type[Transport]] = {
    "rsync": Rsync,
    "rsync --inplace": RsyncInPlace,
    "git": Git,
    "unison": Unison,
    "rclone": Rclone,
    "syncthing": Syncthing,
}
