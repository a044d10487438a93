"""PyTorch peers of training and extraction: the DDU benchmark's network as test/reference/network.py has it, used the way
DDU's code is (the spectrally normalised weight is computed afresh in every forward pass), at its fastest in PyTorch.

Parameters, all optional: network (ResNet options; default DDU's ResNet18 with spectral norm and `mod`, plus L2 normalisation),
batchSize (128), seed (1), channelsLast (true: the activations; the spectral-norm code needs its own tensors contiguous), and
  train_step_f32, train_step_bf16: fused (true: PyTorch's fused SGD). Value: the loss.
  epoch_f32, epoch_bf16: images (2560), fused. Value: the mean loss.
  extract_f32, extract_bf16: images (1000), form: "network" as above, or "folded": batch norm and spectral norm baked into
    plain convolutions once, channels_last weights, in bfloat16 a bfloat16 network instead of autocast. Value: the sum of the logits.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import inputs
from network import ResNet, SpectrallyNormalisedConv2d

MEAN, STD = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))


class Float32Norm(SpectrallyNormalisedConv2d):
    """Under autocast the power iteration would mix dtypes: it stays in float32, as do u and v."""

    def normalised_weight(self):
        with torch.autocast("cpu", enabled=False):
            return super().normalised_weight()


def build(network, seed):
    torch.manual_seed(seed)
    net = ResNet({"inChannels": 3, "imageSize": 32, **(network or {})})
    for module in net.spectrally_normalised().values():
        module.__class__ = Float32Norm
    return net


def normalise(x, channels_last):
    x = (torch.from_numpy(x).float() / 255).sub_(MEAN).div_(STD)
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


class Trainer:
    def __init__(self, precision, network=None, seed=1, channelsLast=True, fused=True):
        self.net = build(network, seed).train()
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=fused)
        self.precision, self.channels_last = precision, channelsLast

    def step(self, x, y):
        """The loss of one SGD step on normalised images: the body in the precision asked for, from the pooled features on in float32."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            raw = self.net.body(x)
        loss = F.cross_entropy(self.net.head(raw.float()).logits, y)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def augmented(images, generator):
    """Zero pad 4, random crop, random flip of uint8 images [B, C, H, W]."""
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (4, 4), (4, 4)))
    dy, dx = generator.integers(0, 9, (2, count))
    flip = generator.random(count) < 0.5
    out = np.empty_like(images)
    for k in range(count):
        crop = padded[k, :, dy[k] : dy[k] + height, dx[k] : dx[k] + width]
        out[k] = crop[:, :, ::-1] if flip[k] else crop
    return out


def train_step(precision):
    def prepare(batchSize=128, seed=1, **options):
        trainer = Trainer(precision, seed=seed, **options)
        x, y = inputs.images(seed, batchSize)
        x, y = normalise(x, trainer.channels_last), torch.from_numpy(y)
        return lambda: trainer.step(x, y)

    return prepare


def epoch(precision):
    def prepare(images=2560, batchSize=128, seed=1, **options):
        trainer = Trainer(precision, seed=seed, **options)
        x, y = inputs.images(seed, images)
        generator = np.random.default_rng(seed)

        def run():
            order, total = generator.permutation(images), 0.0
            for start in range(0, images, batchSize):
                part = order[start : start + batchSize]
                batch = normalise(augmented(x[part], generator), trainer.channels_last)
                total += trainer.step(batch, torch.from_numpy(y[part])) * len(part)
            return total / images

        return run

    return prepare


def fold(net):
    """The evaluation network with plain convolutions that hold spectral norm and batch norm; equal up to rounding."""
    net = copy.deepcopy(net).eval()
    with torch.inference_mode(False), torch.no_grad():
        for name, module in net.spectrally_normalised().items():
            weight = module.normalised_weight()
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], module.stride, module.padding, bias=False).eval()
            conv.weight.copy_(weight)
            net.set_submodule(name, conv)
        for parent in list(net.modules()):
            pairs = [("conv%d" % k, "bn%d" % k) for k in (1, 2, 3)] if not isinstance(parent, nn.Sequential) else [("0", "1")]
            for conv, norm in pairs:
                if isinstance(getattr(parent, conv, None), nn.Conv2d) and isinstance(getattr(parent, norm, None), nn.BatchNorm2d):
                    setattr(parent, conv, nn.utils.fusion.fuse_conv_bn_eval(getattr(parent, conv), getattr(parent, norm)))
                    setattr(parent, norm, nn.Identity())
    return net.to(memory_format=torch.channels_last)


def extract(precision):
    def prepare(network=None, images=1000, batchSize=128, seed=1, channelsLast=True, form="network"):
        net = build(network, seed).eval()
        autocast = precision == "bf16" and form == "network"
        if form == "folded":
            net = fold(net)
            head = copy.deepcopy(net)
            if precision == "bf16":
                net = net.bfloat16()
        else:
            head = net
        x, _ = inputs.images(seed, images)
        dtype = torch.bfloat16 if precision == "bf16" and form == "folded" else torch.float32

        def run():
            features, logits = [], []
            with torch.inference_mode():
                for start in range(0, images, batchSize):
                    batch = normalise(x[start : start + batchSize], channelsLast or form == "folded").to(dtype)
                    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                        raw = net.body(batch)
                    out = head.head(raw.float())
                    features.append(out.features)
                    logits.append(out.logits)
                features, logits = torch.cat(features), torch.cat(logits)
            return logits.sum()

        return run

    return prepare


OPERATIONS = {
    f"{name}_{precision}": operation(precision)
    for name, operation in {"train_step": train_step, "epoch": epoch, "extract": extract}.items()
    for precision in ("f32", "bf16")
}
