"""What belongs to one process: connections and programs that no fork of it may use."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class OfProcess(Generic[T]):
    """A thing that is made when this process first asks for it. After a fork the child makes one of its own."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}  # what a parent made stays here unused: to close it could disturb the parent

    def get(self) -> T:
        """This process's own. Two threads may both make one; they get the same."""
        mine = self._made.get(os.getpid())
        return mine if mine is not None else self._made.setdefault(os.getpid(), self._make())
