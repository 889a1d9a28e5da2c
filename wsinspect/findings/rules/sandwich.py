"""Placeholder until the pair rules are written."""

from wsinspect.findings.registry import Rules

rules = Rules()
