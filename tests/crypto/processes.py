"""Children of a test: they share its memory up to the fork and never return to pytest."""

import os
import warnings
from collections.abc import Callable


def forked(act: Callable[[], object]) -> int:
    """Start ``act`` in a child and return its process id; it ends with 0, or with 1 if ``act`` raised."""
    with warnings.catch_warnings():
        # Python 3.12 warns when other tests left threads; what runs in a child here takes no lock of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child != 0:
        return child
    try:
        act()
    except BaseException:  # noqa: BLE001  # whatever it is, a second pytest must not go on from here
        os._exit(1)
    os._exit(0)
