"""Processes to be killed: each is a fork of one that has imported everything, so that a round costs milliseconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from types import TracebackType

MOTHER = """
import json, os, sys
{program}
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os.write(1, f"pid {{os.getpid()}}\\n".encode())
        work(*json.loads(line))
        os._exit(0)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


class Victims:
    """Runs ``work(*arguments)`` of a program in one process after the other, to be killed by SIGKILL.

    The program says what it has done by ``tell(text)``: a line that is whole or not there.
    """

    def __init__(self, program: str) -> None:
        tell = 'def tell(text):\n    os.write(1, f"{text}\\n".encode())\n'
        self._mother = subprocess.Popen(
            [sys.executable, "-c", MOTHER.format(program=tell + program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.pid = 0

    def start(self, *arguments: object) -> None:
        """Start the next one; the one before must be dead."""
        assert self._mother.stdin is not None
        self._mother.stdin.write(json.dumps(arguments) + "\n")
        self.pid = int(self._line().split()[1])

    def line(self) -> str:
        """Wait for the next line that it tells."""
        line = self._line()
        assert line != "dead\n", "it died by itself"
        return line.rstrip("\n")

    def kill(self) -> list[str]:
        """Kill it, now; returns what it has told since the last :meth:`line`."""
        os.kill(self.pid, signal.SIGKILL)
        return self.rest()

    def rest(self) -> list[str]:
        """Wait for its death; returns what it has told since the last :meth:`line`."""
        lines = []
        while (line := self._line()) != "dead\n":
            lines.append(line.rstrip("\n"))
        return lines

    def _line(self) -> str:
        assert self._mother.stdout is not None
        line = self._mother.stdout.readline()
        assert line, "the process that starts them is gone"
        return line

    def __enter__(self) -> Victims:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.close()
        self._mother.stdout.close()
        if kind is not None:
            self._mother.kill()
        status = self._mother.wait(30)
        assert kind is not None or status == 0
