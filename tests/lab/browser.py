"""A page in headless Chromium: opened from its file, with code of a test added to its script."""

from __future__ import annotations

import html
import json
import re
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

_READY = """
(async () => {
  while (!document.body.dataset.ready) await new Promise(done => setTimeout(done, 5));
  const found = await (async () => { %s })();
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
})();
"""


def dom(page: Path, fragment: str = "") -> str:
    """Returns the markup of a page as the browser has it once nothing more happens."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={page.parent / 'browser'}", "--virtual-time-budget=10000", "--window-size=1280,900"]
    url = page.as_uri() + (f"#{fragment}" if fragment else "")
    shown = subprocess.run([*command, "--dump-dom", url], capture_output=True, timeout=120, check=True)
    return shown.stdout.decode()


def evaluate(page: Path, code: str, fragment: str = "") -> Any:
    """Returns what code returns that runs in the page once it shows; the page's policy then allows the longer script."""
    document = page.read_bytes()
    script = document.rpartition(b"<script>")[2].partition(b"</script>")[0]
    longer = script + (_READY % code).encode()
    changed = document.replace(script, longer).replace(_hash(script), _hash(longer))
    copy = page.with_name("with-code.html")
    copy.write_bytes(changed)
    found = re.search(r'<pre id="result">(.*?)</pre>', dom(copy, fragment), re.DOTALL)
    assert found is not None, "the code did not end"
    return json.loads(html.unescape(found[1]))


def _hash(script: bytes) -> bytes:
    return b64encode(sha256(script).digest())
