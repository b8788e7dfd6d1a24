"""Seeds derived from what they are for, so that no two uses share one by chance of order."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**31) that depends on ``parts`` alone, the same on every machine.

    Args:
        parts: JSON-able values, e.g. ``derive_seed(0, "trial", digest)``.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF  # 31 bits: fits everywhere
