"""Layers as chains of smaller ones."""

from paring.methods.low_rank._factorize import Factored as Factored
from paring.methods.low_rank._factorize import describe_chains as describe_chains
from paring.methods.low_rank._factorize import factorize as factorize
from paring.methods.low_rank._factorize import rebuild_chains as rebuild_chains
from paring.methods.low_rank._vbmf import Factorized as Factorized
from paring.methods.low_rank._vbmf import vbmf as vbmf
