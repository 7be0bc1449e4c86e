"""Memory is used again only when nobody looks into it any more."""

import weakref

import torch

from paring.training.input._buffers import Buffers

SHAPE = (2, 3, 4, 5)


def test_memory_is_lent_again_when_the_last_view_is_gone():
    buffers = Buffers()
    first = buffers.take(SHAPE)
    place, part = first.data_ptr(), first[1, 0].t()
    del first
    second = buffers.take(SHAPE)
    assert second.data_ptr() != place  # a view still looks into it
    part.fill_(7)
    second.fill_(3)
    assert part.unique().tolist() == [7]
    del part
    third = buffers.take(SHAPE, torch.channels_last)
    assert third.data_ptr() == place
    assert third.is_contiguous(memory_format=torch.channels_last)
    assert (third.shape, third.dtype) == (SHAPE, torch.float32)


def test_what_backward_needs_keeps_its_memory():
    buffers, weight = Buffers(), torch.ones(5, requires_grad=True)
    images = buffers.take(SHAPE)
    images.fill_(2)
    loss = (images * weight).sum()
    del images
    buffers.take(SHAPE).fill_(9)
    loss.backward()
    assert weight.grad.tolist() == [2 * 24] * 5


def test_no_more_waits_than_two_and_other_sizes_are_not_mixed_up():
    buffers = Buffers()
    held = [buffers.take((n, 3, 4, 5)) for n in (1, 2, 3, 4)]
    while held:
        held.pop(0)
    assert [memory.size for memory in buffers.spare] == [180, 240]
    assert buffers.take((9, 1, 2, 2)).shape == (9, 1, 2, 2)
    gone = weakref.ref(buffers.spare[0])
    del buffers
    assert gone() is None
