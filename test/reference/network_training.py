"""Writes expected values of training, in float64, to network/: training.json (20 SGD steps of several runs),
schedules.json (learning rates) and augmentation.json (what a crop and a flip of a small image give).

    python network_training.py            write them
    python network_training.py --check    also say how far a relative change of 1e-15 in the first weights is carried by 20 steps

Each run: network_fill.py's weights, 40 images of pixels((40, 3, 16, 16)) and labels(40, 10), normalised as
(x / 255 - mean) / std, no augmentation, no shuffling: 4 epochs of 5 batches of 8 in order, mean cross entropy.
The optimiser, the schedules and the augmentation are written out here from their definitions; torch.optim.SGD and
torch.optim.lr_scheduler are the checks.
"""

import json
import math
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

import network_fill
from network import ResNet
from network_recording import checksum, deviation, write

FOLDER = Path(__file__).parent / "network"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
COUNT, BATCH, EPOCHS, CLASSES, SIZE = 40, 8, 4, 10, 16
OFF = {"leakyRelu": False, "avgPoolShortcut": False}
OPTIMISER = {"learningRate": 0.1, "momentum": 0.9, "weightDecay": 5e-4, "nesterov": False, "schedule": "milestones", "milestones": []}

# name: (network options besides width 0.25 and imageSize 16, optimiser options)
RUNS = {
    "spectral-norm-l2": ({}, {}),
    "plain": ({**OFF, "spectralNorm": None, "l2Normalize": False}, {"nesterov": True}),
    "spectral-norm-milestones": ({**OFF, "l2Normalize": False}, {"milestones": [1, 3]}),
    "l2-nesterov-cosine": ({"spectralNorm": None, "temperature": 0.5}, {"nesterov": True, "schedule": "cosine"}),
}


def learning_rate(optimiser, epochs, steps, epoch, step):
    """Of the step-th of `steps` steps in an epoch; both count from 0.

    Milestones: a tenth from the epoch on whose number is a milestone. Cosine: from the rate down to 1e-6 over all steps, as OpenOOD.
    """
    rate = optimiser["learningRate"]
    if optimiser["schedule"] == "cosine":
        return 1e-6 + (rate - 1e-6) * 0.5 * (1 + math.cos(math.pi * (epoch * steps + step) / (epochs * steps)))
    return rate * 0.1 ** sum(m <= epoch for m in optimiser["milestones"])


def sgd_step(parameters, velocities, rate, optimiser):
    with torch.no_grad():
        for p, v in zip(parameters, velocities, strict=True):
            gradient = p.grad + optimiser["weightDecay"] * p
            v.mul_(optimiser["momentum"]).add_(gradient)
            p.sub_(rate * (gradient + optimiser["momentum"] * v if optimiser["nesterov"] else v))


def train(options, optimiser, perturbation=0.0, pytorch=False):
    torch.manual_seed(0)
    net = network_fill.fill(ResNet(options).double()).train()
    parameters = list(net.parameters())
    with torch.no_grad():
        for p in parameters:
            p.mul_(1 + perturbation * torch.randn_like(p))
    velocities = [torch.zeros_like(p) for p in parameters]
    if pytorch:
        settings = {"momentum": optimiser["momentum"], "weight_decay": optimiser["weightDecay"], "nesterov": optimiser["nesterov"]}
        sgd = torch.optim.SGD(parameters, lr=optimiser["learningRate"], **settings)
    channels = (1, 3, 1, 1)
    mean, std = (torch.tensor(c, dtype=torch.float64).view(channels) for c in (MEAN, STD))
    x = (network_fill.pixels((COUNT, 3, SIZE, SIZE)).double() / 255 - mean) / std
    y = network_fill.labels(COUNT, CLASSES)
    steps = COUNT // BATCH
    losses, rates, correct = [], [], []
    for epoch in range(EPOCHS):
        right = 0
        for step in range(steps):
            part = slice(step * BATCH, (step + 1) * BATCH)
            logits = net(x[part]).logits
            loss = F.cross_entropy(logits, y[part])
            net.zero_grad()
            loss.backward()
            rates.append(learning_rate(optimiser, EPOCHS, steps, epoch, step))
            if pytorch:
                sgd.param_groups[0]["lr"] = rates[-1]
                sgd.step()
            else:
                sgd_step(parameters, velocities, rates[-1], optimiser)
            losses.append(loss.item())
            right += (logits.argmax(1) == y[part]).sum().item()
        correct.append(right)
    if pytorch:
        velocities = [sgd.state[p]["momentum_buffer"] for p in parameters]
    names = [name for name, _ in net.named_parameters()]
    return {
        "losses": losses,
        "learningRates": rates,
        "epochLosses": [sum(losses[k : k + steps]) / steps for k in range(0, len(losses), steps)],
        "epochCorrect": correct,
        "state": {name: checksum(tensor) for name, tensor in net.state_dict().items()},
        "momentum": {name: checksum(v) for name, v in zip(names, velocities, strict=True)},
    }


def training(check):
    file = {"images": [COUNT, 3, SIZE, SIZE], "classes": CLASSES, "batchSize": BATCH, "epochs": EPOCHS, "mean": MEAN, "std": STD}
    for name, (network, changes) in RUNS.items():
        options, optimiser = {"width": 0.25, "imageSize": SIZE, **network}, {**OPTIMISER, **changes}
        values = train(options, optimiser)
        peer = train(options, optimiser, pytorch=True)
        difference = max(deviation(values[k], peer[k]) for k in values)
        print(f"{name}: losses", *(f"{loss:.4f}" for loss in values["losses"]), f"| torch.optim.SGD differs by {difference:.1e}")
        assert difference < 1e-9, name
        if check:
            moved = train(options, optimiser, perturbation=1e-15)
            print(f"{name}: a change of 1e-15 becomes", {k: f"{deviation(values[k], moved[k]):.1e}" for k in values})
        file[name] = {"options": options, "optimiser": optimiser, **values}
    write(FOLDER / "training.json", file)


def schedules():
    cases = []
    for epochs, steps, changes in [
        (6, 3, {"milestones": [2, 4]}),
        (6, 3, {"milestones": [4, 5], "learningRate": 0.05}),
        (4, 5, {"schedule": "cosine"}),
        (3, 2, {"schedule": "cosine", "learningRate": 0.01}),
    ]:
        optimiser = {**OPTIMISER, **changes}
        rates = [[learning_rate(optimiser, epochs, steps, e, s) for s in range(steps)] for e in range(epochs)]
        sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=optimiser["learningRate"])
        if optimiser["schedule"] == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs * steps, eta_min=1e-6)
        else:
            schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, optimiser["milestones"])
        for e in range(epochs):
            for s in range(steps):
                assert math.isclose(sgd.param_groups[0]["lr"], rates[e][s], rel_tol=1e-12), (optimiser, e, s)
                sgd.step()
                if optimiser["schedule"] == "cosine":
                    schedule.step()
            if optimiser["schedule"] == "milestones":
                schedule.step()
        used = {k: optimiser[k] for k in ("learningRate", "schedule", "milestones")}
        cases.append({**used, "epochs": epochs, "steps": steps, "rates": rates})
    write(FOLDER / "schedules.json", {"cases": cases})


def crop_and_flip(image, padding, dy, dx, flip):
    """image [C, H, W] as nested lists. Zero pixels (of the stored image, before normalisation) on each side, the window whose
    top left corner is (dy, dx) of the padded image, then a mirror image left to right."""
    height, width = len(image[0]), len(image[0][0])

    def pixel(channel, row, column):
        y, x = dy + row - padding, dx + (width - 1 - column if flip else column) - padding
        return channel[y][x] if 0 <= y < height and 0 <= x < width else 0

    return [[[pixel(channel, row, column) for column in range(width)] for row in range(height)] for channel in image]


def augmentation():
    padding, shape = 4, (2, 5, 5)
    image = (network_fill.pixels(shape).int() % 255 + 1).tolist()  # never 0, so that padding shows
    draws = [(4, 4, 0), (4, 4, 1), (0, 0, 0), (8, 8, 0), (0, 8, 1), (8, 0, 1), (3, 5, 0), (3, 5, 1), (6, 1, 1)]
    cases = []
    for dy, dx, flip in draws:
        result = crop_and_flip(image, padding, dy, dx, flip)
        padded = F.pad(torch.tensor(image), (padding,) * 4)[:, dy : dy + shape[1], dx : dx + shape[2]]
        assert (padded.flip(2) if flip else padded).tolist() == result
        cases.append({"dy": dy, "dx": dx, "flip": flip, "result": result})
    write(FOLDER / "augmentation.json", {"padding": padding, "image": image, "cases": cases})


if __name__ == "__main__":
    schedules()
    augmentation()
    training("--check" in sys.argv[1:])
