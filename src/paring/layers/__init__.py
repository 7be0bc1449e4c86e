"""Layers that torch lacks, each with its formula. Importing this package imports torch."""

from paring.layers._binary import BinaryConv2d as BinaryConv2d
from paring.layers._binary import BinaryLinear as BinaryLinear
from paring.layers._binary import binary_sign as binary_sign
from paring.layers._binary import binary_weight as binary_weight
from paring.layers._binary import center_and_clip as center_and_clip
from paring.layers._binary import input_scale as input_scale
from paring.layers._binary import weight_scale as weight_scale
from paring.layers._folding import BatchNormCache as BatchNormCache
from paring.layers._folding import absorb_batch_norm as absorb_batch_norm
from paring.layers._folding import batch_norm_backward as batch_norm_backward
from paring.layers._folding import batch_norm_forward as batch_norm_forward
from paring.layers._folding import fold_batch_norm as fold_batch_norm
from paring.layers._folding import scale_and_shift as scale_and_shift
from paring.layers._im2col import col2im as col2im
from paring.layers._im2col import conv2d_gemm as conv2d_gemm
from paring.layers._im2col import im2col as im2col
from paring.layers._lrn import LocalResponseNorm as LocalResponseNorm
from paring.layers._lrn import local_response_norm as local_response_norm
from paring.layers._popcount import pack_signs as pack_signs
from paring.layers._popcount import packed_dot as packed_dot
from paring.layers._popcount import popcount as popcount
from paring.layers._shuffle import ChannelShuffle as ChannelShuffle
from paring.layers._shuffle import channel_shuffle as channel_shuffle
from paring.layers._whitening import Whitening as Whitening
