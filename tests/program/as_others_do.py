"""Becomes the command that follows, without root's privileges over processes, with core files allowed and no umask.

A program, not a function between fork and exec: that would run in a copy of a process that had other threads, and wait
for ever for a lock that one of them held.
"""

import ctypes
import os
import resource
import sys

PR_CAPBSET_DROP = 24
CAPABILITIES = {"SYS_PTRACE": 19, "SYS_ADMIN": 21, "PERFMON": 38}
"""With these root reads the memory of any process: tests and what they look at run without, as other users do."""

for capability in CAPABILITIES.values():
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
os.umask(0)
os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # the command of a test
