"""How the recorder's process shares the processor."""

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
from wsinspect.recorder.process import give_way
chosen = getattr(os, sys.argv[1])
os.sched_setscheduler(0, chosen, os.sched_param(0))
before = os.nice(0)
give_way()
print(os.sched_getscheduler(0), os.nice(0) == min(before + int(sys.argv[2]), 19))
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has policies for a process")
@pytest.mark.parametrize(
    ("policy", "then", "nicer"), [("SCHED_OTHER", "SCHED_BATCH", 5), ("SCHED_BATCH", "SCHED_BATCH", 0)]
)
def test_a_policy_that_was_chosen_stays_as_it_is(policy, then, nicer):
    command = [sys.executable, "-c", _PROGRAM, policy, str(nicer)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(getattr(os, then)), "True"]
