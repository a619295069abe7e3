"""A store of counts that speaks Redis' protocol, as a program of its own: it can hang, stop and start again."""

import signal
import subprocess
import sys

PROGRAM = """
import sys
from fakeredis import TcpFakeServer
TcpFakeServer.allow_reuse_address = True
server = TcpFakeServer(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
server.serve_forever()
"""


class Store:
    """A program that counts."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", PROGRAM, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.communicate()
