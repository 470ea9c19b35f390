"""Files under way: what a copying tool has at a place beside a file of a store, until it has that file whole.

Each is named after the file that it will be: a temporary file of rsync, Syncthing, rclone or unison, or the placeholder
of a file that iCloud has not downloaded. Every reader ignores them. They show that a file is missing, and will come.
"""

from __future__ import annotations

import re

from tract_fs.model.names import is_hash, is_tract_id
from tract_fs.store.address import Address
from tract_fs.store.layout import is_fan_name, is_loose_name

_FORM = (
    r"\.(?P<rsync>[0-9a-f]{62,64})\.[A-Za-z0-9]{6}"  # iCloud's too: .NAME.icloud
    r"|[.~]syncthing[.~](?P<syncthing>[0-9a-f]{62,64})\.tmp"
    r"|\.unison\.(?P<unison>[0-9a-f]{62,64})\..*\.unison\.tmp"
    r"|(?P<rclone>[0-9a-f]{62,64})(?:\.[0-9a-z]{8})?\.(?:partial|part|tmp|crdownload)"
)
_DIRECTORIES = (".~tmp~", ".rsync-partial")  # of rsync, with files under their own names


def name_under_way(base: str) -> str | None:
    """Returns the name of the file that a file under way will be, or None if the name has no such form."""
    found = re.fullmatch(_FORM, base)
    return None if found is None else found.group(str(found.lastgroup))


def address_under_way(path: str) -> Address | None:
    """Returns the address of the file that the unknown file at a path, from the store's root on, will be; or None."""
    *directories, base = path.split("/")
    if directories and directories[-1] in _DIRECTORIES:
        name: str | None = base
        directories.pop()
    else:
        name = name_under_way(base)
    if name is None:
        return None
    if directories == ["packs"]:
        return Address("pack", name) if is_hash(name) else None
    if not is_loose_name(name) or not is_fan_name(directories[-1] if directories else ""):
        return None
    if directories[:-1] == ["objects"]:
        return Address("object", directories[-1] + name)
    if directories[0] == "events" and len(directories) == 3 and is_tract_id(directories[1]):
        return Address("event", directories[-1] + name, directories[1])
    return None
