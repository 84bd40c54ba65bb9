"""The catalogue of signals, written from rules.yaml.

Run `python -m services.features.signals.page > docs/signals.md`.
"""

import sys
from collections.abc import Iterator

from services.common.taxonomy import standard
from services.features.signals.rules import Rule, Signals, load

_INTRODUCTION = """\
# Signals

Version {version}. This page is written from `services/features/signals/rules.yaml` by `python
-m services.features.signals.page`; change the rules, never the page.

A signal is a rule over what carriers tell of a number's calls day by day (aggregates, never
call records). It fires on a day if one of its cases holds, and it holds of a number if it fired
within {window_days} days. No official thresholds exist (china.md section 5): these are defaults
with what supports them. Signals are shown as reasons, `ExplainReputation` and `BatchGetSignals`
tell them, and a grave one (severity 3 and above) lets agreeing marks establish an illegal
label, which the crowd alone cannot.

B04 (called by a person) says how marks were worded and follows from no aggregate; B20 is about
marks (docs/arbitration.md).
"""

_VICTIM = """\
## Victims

Where B09 fired, but the number's own calls on other days were authenticated, others forge it:
it is a victim, published as `SPOOFED` and never as a culprit. That takes at least {own_days}
days of its own calls with at most {failed_ratio:.0%} failed, and these at least
{own_days_ratio:.0%} of all days with calls.
"""


def page(signals: Signals) -> Iterator[str]:
    """The page in pieces."""
    yield _INTRODUCTION.format(version=signals.version, window_days=signals.window_days)
    for rule in signals.rules:
        yield from _section(rule)
    yield _VICTIM.format(
        own_days=signals.victim.own_days,
        own_days_ratio=signals.victim.own_days_ratio,
        failed_ratio=signals.victim.failed_ratio,
    )


def _section(rule: Rule) -> Iterator[str]:
    behaviour = standard.load().behaviour(rule.code)
    yield f"## {rule.code} {behaviour.name_zh} · {behaviour.name_en}, version {rule.version}\n"
    about = []
    if rule.kinds:
        kinds = ", ".join(f"`{kind.name}`" for kind in sorted(rule.kinds))
        about.append(f"Only numbers of kind {kinds}.")
    if rule.is_outbound_forbidden:
        about.append("Only numbers registered as inbound only.")
    if about:
        yield " ".join(about) + "\n"
    for case in rule.cases:
        conditions = " and ".join(f"`{c.value} {c.relation} {c.threshold:g}`" for c in case)
        yield f"- {conditions}"
    yield f"\nSeverity {rule.severity}. {rule.source}\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join(page(load())))
