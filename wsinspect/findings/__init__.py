"""Diagnosis: pure rules over facts, and what they find (DESIGN: findings/; the list is docs/findings.md)."""
