"""Writes network/torchvision.json: outputs of torchvision's ResNets of all five depths in float64, of images of several sizes, and of
a few SGD steps with frozen layers and two learning rates.

    python network_torchvision.py            write it
    python network_torchvision.py --check    also say how far float32 is from float64

Weights and images are network_fill.py's, by the library's own names (a shortcut is "shortcut", torchvision's "downsample").
Needs torchvision. Its wheels for CUDA want the operators `nms` and `qnms`, which a CPU build of PyTorch does not have: they are declared here.
"""

import re
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

import network_fill
from network_recording import checksum, deviation, write

_operators = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402
from torchvision.models import resnet as tv  # noqa: E402

torch.set_num_threads(1)
FILE = Path(__file__).parent / "network" / "torchvision.json"
CLASSES = 10
SIZES = [(224, 224), (160, 160), (97, 97), (70, 131)]
# The batch norm that ends a block's residual branch: a quarter of its weight, without which 152 layers amplify the rounding of float32 to 4e-4 in
# PyTorch itself.
LAST = {True: r"layer\d\.\d+\.bn2\.weight", False: r"layer\d\.\d+\.bn3\.weight"}
BUILDERS = {18: tv.resnet18, 34: tv.resnet34, 50: tv.resnet50, 101: tv.resnet101, 152: tv.resnet152}


def narrowed(width):
    """torchvision's own class with `width` times its planes: it has no option for that."""

    class Narrow(tv.ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            if planes == 64:
                self.inplanes = round(64 * width)
                self.conv1 = torch.nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
                self.bn1 = torch.nn.BatchNorm2d(self.inplanes)
            return super()._make_layer(block, round(planes * width), blocks, stride, dilate)

    return Narrow


def network(depth, width, dtype):
    if width == 1:
        net = BUILDERS[depth](num_classes=CLASSES)
    else:
        original, tv.ResNet = tv.ResNet, narrowed(width)
        try:
            net = BUILDERS[depth](num_classes=CLASSES)
        finally:
            tv.ResNet = original
        net.fc = torch.nn.Linear(net.inplanes, CLASSES)
    net = net.to(dtype)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            values = network_fill.entry(name.replace("downsample", "shortcut"), tuple(tensor.shape))
            tensor.copy_(values / 4 if re.fullmatch(LAST[depth < 50], name) else values)
    return net


def outputs(net, x):
    pooled = []
    hook = net.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1)))
    logits = net(x)
    hook.remove()
    return {"rawFeatures": checksum(pooled[0]), "logits": checksum(logits), "row": logits[0, :4].tolist()}


def statistics(net):
    """One checksum over all running statistics, in the order of the names."""
    state = net.state_dict()
    names = sorted(name.replace("downsample", "shortcut") for name in state if "running_" in name)
    return checksum(torch.cat([state[name.replace("shortcut", "downsample")].flatten() for name in names]))


@torch.no_grad()
def forward_case(depth, width, sizes, dtype=torch.float64):
    net = network(depth, width, dtype)
    evaluation = []
    for height, width_ in sizes:
        x = network_fill.images((1, 3, height, width_), dtype)
        evaluation.append({"size": [height, width_], **outputs(net.eval(), x)})
    values = {"depth": depth, "width": width, "eval": evaluation}
    if len(sizes) > 1:
        x = network_fill.images((2, 3, *sizes[-1]), dtype)
        values |= {"training": outputs(net.train(), x), "statistics": statistics(net), "evalAfter": outputs(net.eval(), x)}
    return values


FINE_TUNING = {
    "depth": 18, "width": 0.125, "images": [24, 3, 40, 51], "batchSize": 8, "epochs": 2, "momentum": 0.9, "weightDecay": 5e-4,
    "learningRate": {"head": 0.1, "body": 0.01}, "frozen": ["bn1", "conv1", "layer1", "layer3.0.bn2"],
    "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
}  # fmt: skip


def parts(named):
    """One checksum for each layer, over its tensors in the order of their names."""
    groups = {}
    for name, tensor in sorted(named.items()):
        groups.setdefault(name.split(".")[0], []).append(tensor.double().flatten())
    return {group: checksum(torch.cat(tensors)) for group, tensors in groups.items()}


def fine_tuning(perturbation=0.0):
    o = FINE_TUNING
    net = network(o["depth"], o["width"], torch.float64)
    frozen = [(name, module) for name, module in net.named_modules() if any(f"{name}.".startswith(f"{part}.") for part in o["frozen"])]
    for _, module in frozen:
        module.requires_grad_(False)
    body = [p for name, p in net.named_parameters() if p.requires_grad and not name.startswith("fc.")]
    rates = o["learningRate"]
    sgd = torch.optim.SGD(
        [{"params": body, "lr": rates["body"]}, {"params": list(net.fc.parameters()), "lr": rates["head"]}],
        momentum=o["momentum"], weight_decay=o["weightDecay"],
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.no_grad():
        for p in body:
            p.mul_(1 + perturbation * torch.randn_like(p))
    mean, std = (torch.tensor(o[key], dtype=torch.float64).view(1, 3, 1, 1) for key in ("mean", "std"))
    x = (network_fill.pixels(o["images"]).double() / 255 - mean) / std
    y = network_fill.labels(len(x), CLASSES)
    losses = []
    for _ in range(o["epochs"]):
        for start in range(0, len(x), o["batchSize"]):
            net.train()
            for _, module in frozen:
                module.eval()
            part = slice(start, start + o["batchSize"])
            loss = F.cross_entropy(net(x[part]), y[part])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.item())
    ours = {name.replace("downsample", "shortcut"): tensor for name, tensor in net.state_dict().items()}
    momentum = {name: sgd.state[p]["momentum_buffer"] for name, p in net.named_parameters() if p in sgd.state}
    return {
        **o,
        "losses": losses,
        "state": parts(ours),
        "momentumBuffers": parts({name.replace("downsample", "shortcut"): tensor for name, tensor in momentum.items()}),
    }


CASES = [(depth, 0.125, SIZES) for depth in BUILDERS] + [(depth, 1, SIZES[:1]) for depth in (18, 50)]


def main(check):
    print("torchvision", torchvision.__version__, "torch", torch.__version__)
    cases = []
    for case in CASES:
        values = forward_case(*case)
        norms = [f"{e['rawFeatures']['norm']:.1e}" for e in values["eval"]]
        print(case[:2], "norms", *norms, "training" in values and values["training"]["logits"]["norm"])
        if check:
            print("   float32 differs by", f"{deviation(values, forward_case(*case, dtype=torch.float32)):.1e}")
        cases.append(values)
    tuned = fine_tuning()
    print("losses", tuned["losses"])
    if check:
        moved = fine_tuning(1e-15)
        print("   a change of 1e-15 becomes", *(f"{deviation(tuned[k], moved[k]):.1e}" for k in ("losses", "state", "momentumBuffers")))
    write(FILE, {"classes": CLASSES, "cases": cases, "fineTuning": tuned})


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
