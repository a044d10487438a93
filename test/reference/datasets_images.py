"""Small folders of images, in the layouts of torchvision's ImageFolder and of Tiny ImageNet, with the pixels and labels that a reader should find.

    python test/reference/datasets_images.py        (pillow, numpy; writes datasets_images.json beside this file)

Files are base64. Pixels are H x W x 3 by Pillow: BILINEAR, whose triangle kernel is as wide as the reduction, on the whole image (squash) or with the
shorter side scaled and the middle cut out (center-crop). Order and labels of the folder are computed the way torchvision's `make_dataset` does.
"""

import base64
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
random = np.random.default_rng(20260302)


def picture(width, height):
    """Slopes, an edge and noise, so that exchanged axes, channels and images all show."""
    y, x = np.mgrid[0:height, 0:width]
    edge = np.where(x + 2 * y > (width + height) * random.uniform(0.5, 0.9), 220, 30)
    planes = [255 * x / (width - 1), 255 * y / (height - 1), edge]
    values = np.stack([planes[k] for k in random.permutation(3)], axis=-1) + random.uniform(-40, 40, (height, width, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def encode(image, ending):
    kind, options = {
        ".png": ("PNG", {}),
        ".jpg": ("JPEG", {"quality": 90}),
        ".jpeg": ("JPEG", {"quality": 90}),
        ".webp": ("WEBP", {"lossless": True}),
    }[ending.lower()]
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def squash(data, size):
    return Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def center_crop(data, size):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    # The arithmetic of torchvision's Resize(size) and CenterCrop(size): the longer side is cut off, halves are rounded to even.
    short, long = sorted(image.size)
    longer = int(size * long / short)
    width, height = (size, longer) if image.width <= image.height else (longer, size)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left = int(round((height - size) / 2.0)), int(round((width - size) / 2.0))
    return scaled.crop((left, top, left + size, top + size))


def text(data):
    return base64.b64encode(data).decode()


def pixels(image):
    return text(np.asarray(image).tobytes())


# Names whose order differs between code points, UTF-16 units, locales and a plain walk of the folders.
names = [
    "zebra/1.png",
    "Zebra/10.PNG",
    "Zebra/9.png",
    "cat/b/1.jpg",
    "cat/b-c/2.jpeg",
    "cat/a.webp",
    "cat/B.JPG",
    "\uff5a/\U0001f408.png",
    "\uff5a/\uff5a.png",
    "\U0001f408/only.png",
    "dog 10/x.png",
    "dog 9/x.png",
]
files = {name: encode(picture(*random.integers(36, 80, 2)), os.path.splitext(name)[1]) for name in names}

with tempfile.TemporaryDirectory() as root:
    for name, data in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    class_names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    samples = []
    for label, class_name in enumerate(class_names):
        for folder, _, found in sorted(os.walk(os.path.join(root, class_name), followlinks=True)):
            samples += [{"name": os.path.relpath(os.path.join(folder, name), root), "label": label} for name in sorted(found)]

for sample in samples:
    data = files[sample["name"]]
    sample.update(file=text(data), squash=pixels(squash(data, 24)), centerCrop=pixels(center_crop(data, 24)))

# Tiny ImageNet: 64x64 JPEG, one of them grey, as some of its images are; identifiers not in order.
identifiers = ["n02124075", "n01443537", "n04067472"]
tiny = []
for i in range(6):
    image = picture(64, 64).convert("L") if i == 4 else picture(64, 64)
    data = encode(image, ".jpg")
    identifier = identifiers[(i * 2) % 3]
    wanted = {"size32": pixels(squash(data, 32)), "size64": pixels(squash(data, 64))}
    tiny.append({"name": f"val_{i}.JPEG", "identifier": identifier, "label": sorted(identifiers).index(identifier), "file": text(data), **wanted})

expected = {"folder": {"size": 24, "classNames": class_names, "samples": samples}, "tinyImageNet": {"identifiers": identifiers, "images": tiny}}
HERE.joinpath("datasets_images.json").write_text(json.dumps(expected, indent=1) + "\n")
