"""What torchvision's evaluation transforms make of images of many sizes, for the preprocessings of lib/data/preprocessing.ts.

    python test/reference/preprocessing.py        (torch, torchvision, pillow, numpy; writes preprocessing.json beside this file)

The images follow from a formula of whole numbers (`picture`, which test/images/preprocessing.test.ts has too), so that none has to be kept; a few JPEG
files are. Of each result the file has the SHA-256 of all H x W x C bytes, and every 997th of them, to tell how far another result is.
"""

import base64
import hashlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

try:
    import torchvision
except RuntimeError:  # built for another libtorch, whose operators for boxes it misses
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, PILToTensor, Resize, ToTensor

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
BILINEAR, BICUBIC = InterpolationMode.BILINEAR, InterpolationMode.BICUBIC
PRESETS = {"imagenet": (224, 256, BILINEAR), "imagenet-bicubic": (224, 256, BICUBIC), "clip": (224, 224, BICUBIC), "cifar10": (32, 32, BILINEAR)}
IMAGENET = Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
SIZES = [
    (500, 375), (375, 500), (640, 480), (480, 640), (333, 500), (1024, 683), (800, 600), (256, 256), (224, 224), (300, 300),
    (257, 384), (1600, 300), (211, 997), (150, 113), (64, 64), (33, 77), (225, 224), (1001, 667), (9, 500),
]  # fmt: skip


def picture(width, height, channels):
    """Slopes, waves, a disc and noise, as uint8 [height, width, channels]."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    noise = (x * 374761393 + y * 668265263 + c * 974634811) & 0xFFFFFFFF
    noise = ((noise ^ (noise >> 13)) * 1274126177) & 0xFFFFFFFF
    waves = np.abs((x * (3 + c) + y * (5 - c)) % 64 - 32) * 2
    slope = (x * 96) // width + (y * 64) // height
    disc = np.where((3 * x - width) ** 2 + (3 * y - 2 * height) ** 2 < (width + height) ** 2 // 4, 70, 0)
    return np.clip(slope + waves + disc + (noise >> 27) - 20 * c, 0, 255).astype(np.uint8)


def flat(image):
    """RGB, with alpha flattened onto black."""
    if image.mode in ("RGBA", "LA"):
        rgba = np.asarray(image.convert("RGBA")).astype(np.int64)
        return Image.fromarray(((2 * rgba[..., :3] * rgba[..., 3:] + 255) // 510).astype(np.uint8))
    return image.convert("RGB")


def steps(preset):
    size, resize_to, kernel = PRESETS[preset]
    return [Resize(resize_to, interpolation=kernel), CenterCrop(size)]


def found(tensor):
    values = tensor.permute(1, 2, 0).contiguous().numpy().tobytes()
    return {"sha256": hashlib.sha256(values).hexdigest(), "sample": base64.b64encode(values[::997]).decode()}


def results(image):
    return {preset: found(Compose([*steps(preset), PILToTensor()])(image)) for preset in PRESETS}


def image_of(width, height, channels):
    values = picture(width, height, channels)
    return Image.fromarray(values[..., 0] if channels == 1 else values)


def case(width, height, channels=3, grey=False):
    image = image_of(width, height, channels)
    upright = flat(image).convert("L") if grey else flat(image)
    return {"width": width, "height": height, "channels": channels, "grey": grey, "results": results(upright)}


def encoded(width, height, **options):
    buffer = io.BytesIO()
    image_of(width, height, 3).save(buffer, "JPEG", **options)
    data = buffer.getvalue()
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return {"file": base64.b64encode(data).decode(), "results": results(image)}


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def plain(width, height, kernel):
    """Without antialiasing, as Resize does it with a tensor."""
    tensor = PILToTensor()(image_of(width, height, 3))
    steps = Compose([Resize(96, interpolation=kernel, antialias=False), CenterCrop(80)])
    return {"width": width, "height": height, "kernel": kernel.value, **found(steps(tensor))}


def normalized(preset, normalize):
    values = Compose([*steps(preset), ToTensor(), normalize])(image_of(500, 375, 3)).flatten()[::9973]
    return {"preset": preset, "values": [float(value) for value in values]}


json_text = json.dumps(
    {
        "torchvision": torchvision.__version__.split("+")[0],
        "pictures": [
            *[case(width, height) for width, height in SIZES],
            *[case(500, 375, 1), case(333, 500, 1, grey=True), case(640, 480, 3, grey=True), case(480, 360, 4), case(257, 384, 4, grey=True)],
        ],
        "jpeg": [
            encoded(240, 180, quality=80),
            encoded(180, 240, quality=90, subsampling=0, exif=exif(6)),
            encoded(301, 200, quality=75, progressive=True),
        ],
        "plain": [plain(width, height, kernel) for width, height in [(500, 375), (120, 333), (40, 64)] for kernel in (BILINEAR, BICUBIC)],
        "normalized": [normalized("imagenet", IMAGENET)],
    },
    indent=1,
)
HERE.joinpath("preprocessing.json").write_text(json_text + "\n")
