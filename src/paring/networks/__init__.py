"""Networks by name: of the zoo, of timm and torchvision, from files and functions of the user's own. Needs torch.

create("mobilenet_v2", weights="mobilenet_v2.pth")      zoo name, weights of any layout the zoo knows
create("timm:resnet18", pretrained=True)                where timm is installed; torchvision:NAME likewise
create("nets.py:small(width=8)")                        a function of a file; package.module:function likewise
create("trained.safetensors")                           a checkpoint of ``paring train``
create("net.pt2"), create("net.pare")                   an exported program; a `.pare` file
"""

from paring.networks._build import ChannelsError as ChannelsError
from paring.networks._build import build as build
from paring.networks._build import fitted as fitted
from paring.networks._build import in_float32 as in_float32
from paring.networks._create import create as create
from paring.networks._find import SUFFIXES as SUFFIXES
from paring.networks._find import Named as Named
from paring.networks._find import file_of as file_of
from paring.networks._find import find as find
from paring.networks._find import is_checkpoint as is_checkpoint
from paring.networks._make import make as make
