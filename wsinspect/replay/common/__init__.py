"""What both sides of a replay share: steps of a recording, comparison, report, transport."""
