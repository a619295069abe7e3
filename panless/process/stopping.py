"""Whether this program was asked to stop, by a signal."""

import os
import select
import signal


class Stop:
    """Notes the given signals. A pipe, because an event's lock may be held when the handler runs in the same thread."""

    def __init__(self, *signals: signal.Signals) -> None:
        """Take these signals over, for as long as the program runs."""
        self._asked = False
        self._heard, self._noted = os.pipe()
        os.set_blocking(self._noted, False)
        for number in signals:
            signal.signal(number, self._note)

    @property
    def is_asked(self) -> bool:
        """Whether to stop."""
        return self._asked

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until asked to stop; whether to stop."""
        if not self._asked:
            select.select([self._heard], [], [], seconds)
        return self._asked

    def _note(self, *_: object) -> None:
        if not self._asked:
            self._asked = True
            os.write(self._noted, b"!")
