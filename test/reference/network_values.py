"""Writes the expected values of the network in network/: one file per configuration, computed in float64.

    python network_values.py            write them
    python network_values.py --check    compare them with a fresh run (relative 1e-11) and report float32's deviation
"""

import json
import sys
from pathlib import Path

import torch

import network_fill
from network import ResNet
from network_recording import deviation, recorded_run, write

FOLDER = Path(__file__).parent / "network"
OFF = {"leakyRelu": False, "avgPoolShortcut": False}

# name: (options, batch size, or batch size, height and width)
CONFIGURATIONS = {
    "resnet18-mnist": ({"inChannels": 1, "imageSize": 28}, 4),
    "resnet18-plain": ({**OFF, "l2Normalize": False}, 3),
    "resnet50": ({"depth": 50}, 3),
    "resnet50-plain-unnormalised": ({"depth": 50, **OFF, "spectralNorm": None, "l2Normalize": False}, 3),
    "resnet18-width-0.25": ({"width": 0.25, "imageSize": 16}, 4),
    "resnet18-width-0.3": ({"width": 0.3, "imageSize": 12, "numClasses": 3, "spectralNorm": None, **OFF}, 4),
    "resnet50-width-0.25": (
        {"depth": 50, "width": 0.25, "imageSize": 16, **OFF, "spectralNorm": {"coefficient": 1.5, "powerIterations": 2}},
        4,
    ),
    "resnet18-feature-dim-2": ({"width": 0.25, "imageSize": 20, "featureDim": 2}, 4),
    "resnet18-feature-dim-100": ({"width": 0.25, "imageSize": 20, "featureDim": 100, **OFF}, 4),
    "resnet50-feature-dim-24": ({"depth": 50, "width": 0.125, "imageSize": 20, "featureDim": 24, "inChannels": 2}, 4),
    "resnet18-temperature": ({"width": 0.25, "imageSize": 16, "temperature": 0.5, "numClasses": 7}, 4),
    "resnet18-odd-size": ({"width": 0.25, "imageSize": 17}, 4),
    "resnet18-odd-size-plain": ({"width": 0.25, "imageSize": 17, **OFF, "l2Normalize": False}, 4),
    "resnet50-odd-size": ({"depth": 50, "width": 0.125, "imageSize": 19}, 4),
    "resnet18-leaky-only": ({"width": 0.25, "imageSize": 16, "avgPoolShortcut": False}, 4),
    "resnet18-pooled-only": ({"width": 0.25, "imageSize": 16, "leakyRelu": False}, 4),
    "resnet18-imagenet-stem": ({"stem": "imagenet", "width": 0.125, "imageSize": 64}, (3, 50, 71)),
    "resnet34-imagenet-stem": ({"depth": 34, "stem": "imagenet", "width": 0.125, "imageSize": 61, **OFF}, 3),
    "resnet101-imagenet-stem": (
        {"depth": 101, "stem": "imagenet", "width": 0.0625, "imageSize": 66, "spectralNorm": None, "temperature": 2},
        (3, 45, 38),
    ),
}


def run(options, batch, dtype):
    net = network_fill.fill(ResNet(options).to(dtype))
    full = net.options
    count, *sides = batch if isinstance(batch, tuple) else (batch, full["imageSize"], full["imageSize"])
    shape = (count, full["inChannels"], *sides)
    values = recorded_run(net, net, network_fill.images(shape, dtype))
    sigmas = {name: conv.weight_sigma.item() for name, conv in net.spectrally_normalised().items()}
    return {"options": options, "imageShape": list(shape), "featureDim": net.feature_dim, **values}, sigmas


def fill_examples():
    """A few values of the formula, so that another language's version can be checked by itself."""
    shapes = {"conv1.weight_orig": (4, 3, 3, 3), "layer1.0.conv2.weight": (5, 2, 3, 3), "layer2.0.conv1.weight_u": (7,)}
    shapes |= {"bn1.weight": (5,), "bn1.bias": (5,), "bn1.running_mean": (5,), "bn1.running_var": (5,)}
    shapes |= {"fc.weight": (3, 5), "fc.bias": (3,)}
    return {
        "seeds": {name: network_fill.seed(name) for name in shapes},
        "words": {"images": network_fill.words("images", 5).tolist()},
        "entries": {n: {"shape": s, "values": network_fill.entry(n, s).flatten()[:5].tolist()} for n, s in shapes.items()},
        "images": network_fill.images((5,)).tolist(),
        "pixels": network_fill.pixels((5,)).tolist(),
        "labels": network_fill.labels(8, 10).tolist(),
    }


def main(check):
    if check:
        assert json.loads((FOLDER / "fill.json").read_text()) == json.loads(json.dumps(fill_examples()))
    else:
        write(FOLDER / "fill.json", fill_examples())
    for name, (options, batch) in CONFIGURATIONS.items():
        values, sigmas = run(options, batch, torch.float64)
        if sigmas:
            clamped = sum(sigma > ResNet(options).options["spectralNorm"]["coefficient"] for sigma in sigmas.values())
            print(f"{name}: sigma above the coefficient in {clamped} of {len(sigmas)}:", *(f"{s:.2f}" for s in sigmas.values()))
        path = FOLDER / f"{name}.json"
        if not check:
            write(path, values)
            continue
        stored = json.loads(path.read_text())
        outputs = ("eval", "training", "evalAfter", "state")
        double = max(deviation(stored[k], values[k]) for k in outputs)
        single_values = run(options, batch, torch.float32)[0]
        single = {k: deviation(stored[k], single_values[k]) for k in outputs}
        print(f"{name}: float64 {double:.1e}, float32 {max(single.values()):.1e}", {k: f"{v:.1e}" for k, v in single.items()})
        assert double < 1e-11, name
        assert max(single.values()) < 1e-4, name


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
