"""Real tools that carry the files of two copies to each other: rsync, git, unison, rclone. Each is set up in a directory of its own, apart from its user's settings."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from tests.lab.states import store_root

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

    def run(self, *command: str | Path) -> str:
        """Runs a command, which must succeed; returns what it prints."""
        done = subprocess.run(
            list(map(str, command)), env=self.environment, capture_output=True, text=True, check=False, timeout=120
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
    """`rclone bisync`, deletions too."""

    def set_up(self) -> None:
        (self.folder / "filters").write_text("- /.tract/local/**\n")
        self.bisync("--resync")

    def sync(self) -> None:
        self.bisync()

    def bisync(self, *options: str) -> None:
        self.run(
            *("rclone", "bisync", self.one, self.other, "--filters-file", self.folder / "filters"),
            *("--workdir", self.folder / "bisync", "--config", self.folder / "rclone.conf", *options),
        )


TRANSPORTS: dict[str, type[Transport]] = {
    "rsync": Rsync,
    "rsync --inplace": RsyncInPlace,
    "git": Git,
    "unison": Unison,
    "rclone": Rclone,
}


def files_beside(path: Path) -> list[str]:
    """Returns the names of files that a tool made in a store for reasons of its own."""
    root = store_root(path)
    return sorted(str(file.relative_to(root)) for file in root.glob("[ep]*/**/.*") if file.is_file())
