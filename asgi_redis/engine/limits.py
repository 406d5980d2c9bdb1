"""How many messages a reader may take of which channels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping


class ReceiveLimits(Mapping[str, int]):
    """
    What is left of the limits of ``channels``: by name, for those that have one; 0 or less for none.

    ``each`` holds for those that ``some`` does not name; None: they have no limit. So it is small, however many
    channels there are.
    """

    def __init__(self, channels: Collection[str], each: int | None, some: Mapping[str, int]) -> None:
        self.each = each
        self.some = some
        self._channels = channels

    def __getitem__(self, channel: str) -> int:
        left = self.some.get(channel, self.each)
        if left is None:
            raise KeyError(channel)
        return left

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels if self.each is not None else self.some)

    def __len__(self) -> int:
        return len(self._channels if self.each is not None else self.some)


def exhausted(limits: Mapping[str, int] | None) -> set[str]:
    """Returns the channels of which nothing may be taken."""
    some = limits.some if isinstance(limits, ReceiveLimits) else limits or {}
    return {name for name, left in some.items() if left <= 0}
