"""Channel shuffle, ShuffleNet (Zhang et al. 2018, arXiv 1707.01083, section 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from paring.errors import ArgumentError


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups, so that the next group convolution sees all of them.

    ``output[:, j * groups + i] = input[:, i * (C / groups) + j]`` for group ``i`` and position ``j`` in it: the channel
    axis seen as ``(groups, C / groups)``, transposed and flattened. The inverse is a shuffle with ``C / groups``
    groups.

    Args:
        input: ``(N, C, ...)``, any dtype.
        groups: number of groups; must divide C.

    Raises:
        ArgumentError: if ``groups`` does not divide C.
    """
    channels = input.shape[1]
    if groups < 1 or channels % groups:
        raise ArgumentError("groups do not divide the channels", found=f"{channels} channels in {groups} groups")
    return input.unflatten(1, (groups, channels // groups)).transpose(1, 2).flatten(1, 2)


class ChannelShuffle(nn.Module):
    """:func:`channel_shuffle` as a layer.

    Args:
        groups: groups of the convolution whose output is shuffled.
        inverse: undo the shuffle instead. The ShuffleNet authors' later code shuffles in this direction, so its
            weights do not fit the paper's.
    """

    def __init__(self, groups: int, inverse: bool = False) -> None:
        super().__init__()
        if groups < 1:
            raise ArgumentError("groups below 1", found=groups)
        self.groups = groups
        self.inverse = inverse

    def forward(self, input: Tensor) -> Tensor:
        groups = input.shape[1] // self.groups if self.inverse else self.groups
        return channel_shuffle(input, groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}" + (", inverse=True" if self.inverse else "")
