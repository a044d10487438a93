"""An independent PyTorch implementation of the network of METHOD.md section 1, written from its description.

`ResNet(options)` takes the option names of the library's own `ResNet.create`, so that one JSON object configures both.
Parameters and buffers carry the names, the shapes and the order of the DDU benchmark's code (network_ddu.py checks that
they do). It runs in any floating dtype; in float64 it is what the library is compared with.

Choices that the description leaves open:
- `width` w: the stem and layer1 have max(1, floor(64 w + 1/2)) planes, layer2 the same of 128, layer3 of 256, layer4 of 512.
- `featureDim` d: layer4 gets d planes (depth 18) or d / 4 (depth 50; d must be a multiple of 4), so that the pooled
  features are d long; there is no extra projection. Where that makes layer4 narrower than layer3, the average-pool
  shortcut keeps the first channels, the mirror image of padding with zeros.
- The side of every feature map is ceil(side / stride), from `imageSize` on; spectral normalisation works at these sizes.
- `stem` "imagenet" is torchvision's: a 7x7 convolution of stride 2, batch norm, activation, a 3x3 max pool of stride 2; images may have any
  height and width.
- The average-pool shortcut has kernel 1 along a side that is odd.
- The last map is averaged whatever its side is (4 for images of 28 and 32 pixels).
- `temperature` divides what fc sees; the returned features are those before that division.
"""

import math
from collections import namedtuple

import torch
from torch import nn
from torch.nn import functional as F

DEFAULTS = {
    "depth": 18,
    "stem": "cifar",
    "numClasses": 10,
    "inChannels": 3,
    "imageSize": 32,
    "width": 1.0,
    "featureDim": None,
    "leakyRelu": True,
    "avgPoolShortcut": True,
    "spectralNorm": {"coefficient": 3.0},  # or None
    "l2Normalize": True,
    "temperature": 1.0,
}
SPECTRAL_NORM_DEFAULTS = {"coefficient": 3.0, "powerIterations": 1, "warmupIterations": 0}

Output = namedtuple("Output", "raw_features features logits")


def complete(options):
    """The options with every default filled in; an unknown name is an error."""
    unknown = set(options) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"unknown options {sorted(unknown)}")
    full = {**DEFAULTS, **options}
    if full["spectralNorm"] is not None:
        full["spectralNorm"] = {**SPECTRAL_NORM_DEFAULTS, **full["spectralNorm"]}
    return full


def unit(x):
    return F.normalize(x.reshape(-1), dim=0, eps=1e-12)


class SpectrallyNormalisedConv2d(nn.Module):
    """A convolution without bias whose weight is scaled down where its spectral norm, as estimated, exceeds a coefficient.

    The buffers u (output side) and v (input side) are flat unit vectors that follow the leading singular pair by power
    iteration. A 3x3 convolution is the linear operator that it is on maps of `size` x `size`; a 1x1 one is its matrix.
    """

    def __init__(self, in_channels, out_channels, kernel, stride, size, coefficient, power_iterations):
        super().__init__()
        self.stride, self.padding, self.size = stride, kernel // 2, size
        self.coefficient, self.power_iterations = coefficient, power_iterations
        self.is_matrix = kernel == 1
        self.in_shape = (1, in_channels, size, size)
        out_size = math.ceil(size / stride)
        self.out_shape = (1, out_channels, out_size, out_size)
        weight = nn.Conv2d(in_channels, out_channels, kernel, bias=False).weight
        self.weight_orig = nn.Parameter(weight.detach())
        rows, columns = (out_channels, in_channels) if self.is_matrix else (math.prod(self.out_shape), math.prod(self.in_shape))
        self.register_buffer("weight_u", unit(torch.randn(rows)))
        self.register_buffer("weight_v", unit(torch.randn(columns)))
        self.register_buffer("weight_sigma", torch.ones(1))

    def operate(self, v):
        """W v, flat."""
        if self.is_matrix:
            return torch.mv(self.weight_orig.flatten(1), v)
        return F.conv2d(v.view(self.in_shape), self.weight_orig, stride=self.stride, padding=self.padding).view(-1)

    def operate_adjoint(self, u):
        """W^T u, flat."""
        if self.is_matrix:
            return torch.mv(self.weight_orig.flatten(1).t(), u)
        # A stride of 2 maps an even and an odd side to the same one; the output padding says which it was.
        lost = (self.size - 1) % self.stride
        return F.conv_transpose2d(
            u.view(self.out_shape), self.weight_orig, stride=self.stride, padding=self.padding, output_padding=lost
        ).view(-1)

    @torch.no_grad()
    def iterate(self, iterations):
        for _ in range(iterations):
            self.weight_v.copy_(unit(self.operate_adjoint(self.weight_u)))
            self.weight_u.copy_(unit(self.operate(self.weight_v)))

    def normalised_weight(self):
        if self.training:
            self.iterate(self.power_iterations)
        # Copies, since the next forward pass changes the buffers while a backward pass may still need these.
        u, v = (self.weight_u.clone(), self.weight_v.clone()) if self.training else (self.weight_u, self.weight_v)
        sigma = torch.dot(u, self.operate(v))
        self.weight_sigma.copy_(sigma.detach())
        divisor = (sigma / self.coefficient).clamp_min(1.0)
        return self.weight_orig / (divisor if self.is_matrix else divisor + 1e-5)

    def forward(self, x):
        return F.conv2d(x, self.normalised_weight(), stride=self.stride, padding=self.padding)


class PooledShortcut(nn.Module):
    """Average pooling and zero channels in the place of a strided 1x1 convolution."""

    def __init__(self, out_channels, stride):
        super().__init__()
        self.out_channels, self.stride = out_channels, stride

    def forward(self, x):
        kernel = tuple(1 if side % 2 else self.stride for side in x.shape[2:])
        return F.pad(F.avg_pool2d(x, kernel, self.stride), (0, 0, 0, 0, 0, self.out_channels - x.shape[1]))


class Residual(nn.Module):
    """BasicBlock (3x3, 3x3) where expansion is 1, Bottleneck (1x1, 3x3, 1x1) where it is 4."""

    def __init__(self, convolution, activation, pooled_shortcut, in_channels, planes, expansion, stride, size):
        super().__init__()
        small = math.ceil(size / stride)
        out_channels = planes * expansion
        if expansion == 1:
            steps = [(in_channels, planes, 3, stride, size), (planes, planes, 3, 1, small)]
        else:
            steps = [(in_channels, planes, 1, 1, size), (planes, planes, 3, stride, size), (planes, out_channels, 1, 1, small)]
        self.steps = len(steps)
        for k, step in enumerate(steps, 1):
            setattr(self, f"conv{k}", convolution(*step))
            setattr(self, f"bn{k}", nn.BatchNorm2d(step[1]))
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            if pooled_shortcut:
                self.shortcut.append(PooledShortcut(out_channels, stride))
            else:
                self.shortcut.append(convolution(in_channels, out_channels, 1, stride, size))
                self.shortcut.append(nn.BatchNorm2d(out_channels))
        self.activation = activation

    def forward(self, x):
        out = x
        for k in range(1, self.steps + 1):
            out = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(out))
            if k < self.steps:
                out = self.activation(out)
        out += self.shortcut(x)
        return self.activation(out)


class ResNet(nn.Module):
    def __init__(self, options=None):
        super().__init__()
        self.options = o = complete(options or {})
        expansion = 1 if o["depth"] < 50 else 4
        blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[o["depth"]]
        large = o["stem"] == "imagenet"
        planes = [max(1, math.floor(base * o["width"] + 0.5)) for base in (64, 128, 256, 512)]
        if o["featureDim"] is not None:
            planes[3], rest = divmod(o["featureDim"], expansion)
            if rest:
                raise ValueError(f"featureDim must be a multiple of {expansion}, found {o['featureDim']}")
        self.activation = F.leaky_relu if o["leakyRelu"] else F.relu
        normalisation = o["spectralNorm"]

        def convolution(in_channels, out_channels, kernel, stride, size):
            if normalisation is None:
                return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
            return SpectrallyNormalisedConv2d(
                in_channels, out_channels, kernel, stride, size, normalisation["coefficient"], normalisation["powerIterations"]
            )

        size, channels = o["imageSize"], planes[0]
        self.bn1 = nn.BatchNorm2d(channels)  # before conv1, as DDU has it: the state dict keeps the order
        self.conv1 = convolution(o["inChannels"], channels, 7, 2, size) if large else convolution(o["inChannels"], channels, 3, 1, size)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        if large:
            size = math.ceil(math.ceil(size / 2) / 2)
        for k in range(4):
            layer = nn.Sequential()
            for j in range(blocks[k]):
                stride = 2 if k > 0 and j == 0 else 1
                layer.append(
                    Residual(convolution, self.activation, o["avgPoolShortcut"], channels, planes[k], expansion, stride, size)
                )
                channels, size = planes[k] * expansion, math.ceil(size / stride)
            setattr(self, f"layer{k + 1}", layer)
        self.feature_dim = channels
        self.fc = nn.Linear(channels, o["numClasses"])
        if normalisation is not None:
            for convolution in self.spectrally_normalised().values():
                convolution.iterate(normalisation["warmupIterations"])

    def spectrally_normalised(self):
        """The spectrally normalised convolutions by name."""
        return {name: m for name, m in self.named_modules() if isinstance(m, SpectrallyNormalisedConv2d)}

    def body(self, x):
        """Pooled features [N, d], before any normalisation."""
        out = self.maxpool(self.activation(self.bn1(self.conv1(x))))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return F.adaptive_avg_pool2d(out, 1).flatten(1)

    def head(self, raw):
        """Features [N, d] and logits [N, C] from the pooled features."""
        features = F.normalize(raw, dim=1, eps=1e-12) if self.options["l2Normalize"] else raw
        return Output(raw, features, self.fc(features / self.options["temperature"]))

    def forward(self, x):
        return self.head(self.body(x))
