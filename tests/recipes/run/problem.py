"""A small network with batch norms for lists of steps, on the pictures of small_problem.py."""

import torch
from torch import nn

from paring.recipes import compress, steps
from tests.recipes.small_problem import pictures

TRAINING = {"epochs": 2, "batch": 16, "lr": 5e-3}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc1 = nn.Linear(400, 24)
        self.fc2 = nn.Linear(24, 3)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def sets():
    return pictures("train", 96, 0), pictures("test", 60, 1)


def trained():
    """A network that has learned the pictures."""
    torch.manual_seed(0)
    net, data = Net(), sets()[0]
    images = torch.from_numpy(data.prepared().transpose(0, 3, 1, 2).copy())
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), torch.from_numpy(data.labels)).backward()
        optimizer.step()
    return net.eval()


def steps_of_all_kinds():
    """Structure, form and training by turns; the network becomes one of a graph on the way."""
    first = steps.tune(epochs=2, batch=16, lr=1e-3, augment="light")
    return [steps.prune_channels(macs=0.8), first, steps.ternarize({"fc1": 0.75}), steps.tune(epochs=1, batch=16)]


def run(folder, recipe=None, network=Net, data=None, **options):
    """The recipe in a folder, quietly."""
    options = {"training": TRAINING, "log": lambda line: None, "progress": False, "threads": 1, **options}
    return compress(network, data or sets(), folder, recipe or steps_of_all_kinds(), **options)
