"""Tests of the rules: traffic that triggers each, and traffic that does not."""
