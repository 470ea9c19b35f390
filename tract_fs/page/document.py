"""The HTML document: the template, with the data in a block that nothing executes.

The data is JSON, deflated (zlib) and written in base 85, a sixteenth shorter than base 64, with digits that are no markup: no
character of a store can end the block. The security policy
allows the one style and the one script of the template, by their hashes, and nothing else: no request, no form, no frame.
"""

from __future__ import annotations

from base64 import b64encode, b85encode
from hashlib import sha256
from zlib import compress

from tract_fs.model import canonical

MARK = b"<!doctype html><!-- tract view -->"
_DEFLATE_LEVEL = 9
_NO_MARKUP = bytes.maketrans(
    b"<>&", b",.:"
)  # the digits of base 85 (RFC 1924) that are markup, and those in their place


def make_document(template: bytes, data: object) -> bytes:
    """Returns the whole file. `template` contains one style, one script, and the places `{{policy}}` and `{{data}}`."""
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src '{_source(template, b'<style>', b'</style>')}'; "
        f"script-src '{_source(template, b'<script>', b'</script>')}'"
    )
    block = b85encode(compress(canonical.encode_checked(data), _DEFLATE_LEVEL)).translate(_NO_MARKUP)
    before, _, after = template.replace(b"{{policy}}", policy.encode()).partition(b"{{data}}")
    return before + block + after


def _source(template: bytes, begin: bytes, end: bytes) -> str:
    """Returns the source expression of what stands between two tags: CSP Level 3, section 2.3.1."""
    inside = template.partition(begin)[2].partition(end)[0]
    return f"sha256-{b64encode(sha256(inside).digest()).decode()}"
