"""Signals B01 to B13: versioned rules over carriers' daily aggregates, thresholds in rules.yaml."""

from services.features.signals.rules import VALUES, Condition, Rule, Signals, Victim, load

__all__ = ["VALUES", "Condition", "Rule", "Signals", "Victim", "load"]
