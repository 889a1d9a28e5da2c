"""Diagnosis: pure rules over facts, and what they find (listed in docs/findings.md)."""
