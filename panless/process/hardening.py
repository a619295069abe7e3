"""What a process that holds keys and cards asks of the operating system: no core dump, nothing readable by others.

The command line does so before anything else, in every command; gunicorn once more, because what is asked for here is
lost where a program becomes another one.
"""

import ctypes
import os
import resource

MEMORY = "/dev/shm"  # noqa: S108  # what lies there is named at random and private
PR_SET_DUMPABLE = 4
"""prctl(2). Not dumpable also means: no other process of this user may attach to this one or read its memory."""


def harden() -> None:
    """Write no core file, refuse to be traced, make files that only their owner can read, log no TLS session's keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a core pattern that is a pipe ignores the limit above
    os.umask(0o077)
    os.environ.pop("SSLKEYLOGFILE", None)  # Python's ssl and urllib3 would write there what opens every session


def memory_folder() -> str | None:
    """A folder in memory for short-lived files, where there is one; None for the usual temporary folder."""
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None
