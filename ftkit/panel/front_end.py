"""Which front end a notebook has: a page with live controls, or none."""

import os
import sys
from typing import Any


def headless() -> bool:
    """Whether `FTKIT_HEADLESS` says that no page shows live controls: any value but "" and "0"."""
    return os.environ.get("FTKIT_HEADLESS", "") not in ("", "0")


def shell() -> Any:
    """Return the IPython shell that runs this code, or None."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def mode() -> str:
    """Return how panels run here: "headless" (no front end), "blocking" (Colab) or "thread"."""
    if headless() or not hasattr(shell(), "kernel"):
        return "headless"
    return "blocking" if "google.colab" in sys.modules else "thread"
