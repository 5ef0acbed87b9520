"""JupyterLab, as a process that stops when the `ftkit lab` that started it ends."""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

PORT = "FTKIT_LAB_PORT"
"""The variable with the port at which `ftkit lab` listens as long as it lives."""
PATIENCE = 10.0
"""Seconds in which the server may stop its kernels; then it is ended."""


def main() -> None:
    """Serve JupyterLab, with the options of the command line."""
    from jupyterlab import labapp

    # Not for the kernels: they do not connect.
    port = int(os.environ.pop(PORT))
    try:
        parent = socket.create_connection(("127.0.0.1", port))
    except ConnectionError:
        sys.exit(1)  # `ftkit lab` has ended already
    threading.Thread(target=_stop_after, args=(parent,), name="ftkit parent", daemon=True).start()
    labapp.main()


def _stop_after(parent: socket.socket) -> None:
    """Wait until the other end of the connection is closed, then stop this process.

    The system closes it when `ftkit lab` ends, also when that is killed. This works on every
    system; a change of the parent's number, for example, does not exist on Windows.
    """
    with suppress(OSError):
        parent.recv(1)
    # The signal goes to the main thread: it must wake up to stop the kernels and the server.
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main()
