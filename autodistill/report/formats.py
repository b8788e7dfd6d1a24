"""Numbers as people read them: percentages, durations, counts, intervals.

Every function takes a possibly missing number (None, NaN) and answers a dash for it, because a study that still runs
has many of them. What the numbers mean is decided in `autodistill.report.tables`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

#: What stands where no number is known.
MISSING = "\u2013"
#: The typographic minus, as wide as a plus, and the sign of multiplication.
MINUS, TIMES = "\u2212", "\u00d7"

#: Durations of fewer hours are told in hours, of fewer days in days.
HOURS_SHOWN, DAYS_SHOWN, DAYS_OF_YEAR = 100, 1000, 365.25

#: What stands for a password or token.
SECRET = "***"

#: Metrics that are shares of examples and read best in per cent; by the part after the last dot.
PERCENT_METRICS = frozenset(
    {
        "accuracy",
        "accuracy_mismatched",
        "agreement",
        "balanced_accuracy",
        "entity_f1",
        "exact_match",
        "f1",
        "macro_f1",
        "micro_f1",
        "precision",
        "recall",
        "retrieval",
        "top5_accuracy",
        "weighted_f1",
        "worst_class",
    }
)


def number_of(value: Any) -> float | None:
    """Return ``value`` as a finite float, or None when it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def is_percent(metric: str) -> bool:
    """Whether ``metric`` (``"<label>.<metric>"``) is shown in per cent."""
    return metric.rpartition(".")[2] in PERCENT_METRICS


def significant(value: Any, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, in plain notation where that is readable."""
    number = number_of(value)
    if number is None:
        return MISSING
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(abs(number)))
    if not -5 < exponent < 9:  # beyond these, zeros are hard to count
        mantissa, _, power = f"{number:.{digits - 1}e}".partition("e")
        return f"{mantissa}e{int(power)}".replace("-", MINUS)
    rounded = f"{number:,.{max(0, digits - 1 - exponent)}f}"
    return rounded.replace("-", MINUS)


def metric_value(metric: str, value: Any) -> str:
    """One value of ``metric``, e.g. ``91.2 %`` or ``0.874``."""
    number = number_of(value)
    if number is None:
        return MISSING
    return f"{100 * number:.1f} %" if is_percent(metric) else significant(number)


def metric_interval(metric: str, entry: Mapping[str, Any] | None) -> str:
    """The 95 % interval of a summary metric, e.g. ``[90.1, 92.3]``; empty when it has none."""
    low, high = number_of((entry or {}).get("low")), number_of((entry or {}).get("high"))
    if low is None or high is None:
        return ""
    if is_percent(metric):
        return f"[{100 * low:.1f}, {100 * high:.1f}]"
    return f"[{significant(low)}, {significant(high)}]"


def metric_with_interval(metric: str, entry: Mapping[str, Any] | None) -> str:
    """Value and interval of a summary metric: ``91.2 % [90.1, 92.3]``."""
    return f"{metric_value(metric, (entry or {}).get('value'))} {metric_interval(metric, entry)}".strip()


def signed(metric: str, value: Any, unit: bool = True) -> str:
    """A difference of ``metric`` with its sign: ``+1.4 points`` for shares, else plain."""
    number = number_of(value)
    if number is None:
        return MISSING
    sign = MINUS if number < 0 else "+"
    if is_percent(metric):
        return f"{sign}{100 * abs(number):.1f}{' points' if unit else ''}"
    return f"{sign}{significant(abs(number))}"


def gain_with_interval(metric: str, entry: Mapping[str, Any] | None) -> str:
    """A paired difference with its interval: ``+1.4 points [+0.6, +2.2]``."""
    entry = entry or {}
    text = signed(metric, entry.get("value"))
    if number_of(entry.get("low")) is None or number_of(entry.get("high")) is None:
        return text
    return f"{text} [{signed(metric, entry['low'], unit=False)}, {signed(metric, entry['high'], unit=False)}]"


def share(value: Any) -> str:
    """A share in per cent with one decimal: ``98.1 %``."""
    number = number_of(value)
    return MISSING if number is None else f"{100 * number:.1f} %"


def ratio(value: Any) -> str:
    """How many times: ``12.3×``."""
    number = number_of(value)
    return MISSING if number is None else f"{significant(number)}{TIMES}"


def milliseconds(value: Any) -> str:
    """``1.23 ms``."""
    number = number_of(value)
    return MISSING if number is None else f"{significant(number)} ms"


def latency_value(metric: str, value: Any) -> str:
    """One value of a latency metric with its unit: ``1.23 ms``, ``840 /s``, ``13.4 MB``."""
    name = metric.rpartition(".")[2]
    if name.endswith("_ms"):
        return milliseconds(value)
    if name.endswith("_bytes"):
        return scaled(value, "B")
    rate = name.startswith("throughput") and number_of(value) is not None
    return significant(value) + (" /s" if rate else "")


def spread(relative_half_width: Any) -> str:
    """The relative half width of a median's interval: ``±2.1 %``; empty when unknown."""
    number = number_of(relative_half_width)
    return "" if number is None else f"±{100 * number:.1f} %"


def scaled(value: Any, unit: str, base: float = 1000.0) -> str:
    """``value`` with a decimal prefix: ``3.41 M``, ``1.20 PFLOP``, ``13.4 MB``."""
    number = number_of(value)
    if number is None:
        return MISSING
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(number) < base:
            return f"{significant(number)} {prefix}{unit}".strip()
        number /= base
    return f"{significant(number)} E{unit}"


def count(value: Any) -> str:
    """A whole number with thousands separators: ``67,349``."""
    number = number_of(value)
    return MISSING if number is None else f"{number:,.0f}"


def parameters(value: Any) -> str:
    """A number of parameters: ``3.41 M``."""
    return scaled(value, "")


def duration(seconds: Any) -> str:
    """``0.8 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``, ``12 d 03 h``, ``139 years``."""
    number = number_of(seconds)
    if number is None:
        return MISSING
    if number < 10:
        return f"{number:.1f} s"
    if number < 59.5:
        return f"{number:.0f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    if minutes < 60 * HOURS_SHOWN:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    if hours < 24 * DAYS_SHOWN:
        return f"{hours // 24} d {hours % 24:02d} h"
    return f"{significant(hours / 24 / DAYS_OF_YEAR)} years"


def readable(value: Any) -> str:
    """Any configuration value or fact in one line."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # years and ports keep their four digits
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {readable(entry)}" for name, entry in value.items()) or MISSING
    if isinstance(value, list | tuple):
        return ", ".join(readable(entry) for entry in value) or MISSING
    return str(value)


def without_secrets(value: Any, instead: Callable[[str], str] = lambda _: SECRET) -> Any:
    """A copy of a configuration with passwords, tokens and the like masked, in addresses too.

    Args:
        value: plain containers.
        instead: what stands for a secret; references such as ``${oc.env:NAME}`` stay.
    """

    def masked(secret: str) -> str:
        return secret if secret.startswith("${") else instead(secret)

    if isinstance(value, Mapping):
        return {
            key: masked(entry) if _is_secret(str(key), entry) else without_secrets(entry, instead)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(entry, instead) for entry in value]
    if not isinstance(value, str):
        return value
    address = re.sub(r"(://[^/:@\s]*:)(\S+)@", lambda found: f"{found[1]}{masked(found[2])}@", value)
    return re.sub(r"([?&](?:password|token|api_?key)=)([^&\s]+)", lambda found: found[1] + masked(found[2]), address)


def _is_secret(key: str, value: Any) -> bool:
    words = set(re.split(r"[^a-z]+", key.lower()))
    return isinstance(value, str) and bool(words & {"password", "passwd", "secret", "token", "key", "apikey"})


def architecture(choices: Mapping[str, Any] | None) -> str:
    """The choices of an architecture in one line: ``layers 4, hidden 256``.

    A summary may hold the choices alone or the canonical form with ``family`` and ``choices``.
    """
    choices = choices or {}
    inner = choices.get("choices")
    if isinstance(inner, Mapping):
        choices = inner
    return ", ".join(f"{name.replace('_', ' ')} {readable(value)}" for name, value in choices.items()) or MISSING
