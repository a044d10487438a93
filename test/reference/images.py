"""Images written and read by Pillow, an independent decoder: the files as base64 and the pixels that a network should see.

    python test/reference/images.py        (pillow, numpy; writes images.json beside this file)

Expected pixels are H x W x 3 bytes (grey images: also H x W x 1) after `ImageOps.exif_transpose`, alpha flattened onto black. Resizes are
Pillow's BILINEAR, whose triangle kernel is as wide as the reduction: antialiased.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
random = np.random.default_rng(20240603)


def picture(width, height, channels, noise=40):
    """Slopes, an edge and noise, so that flips, crops, swapped channels and aliasing all show."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        255 * x / max(1, width - 1),
        255 * y / max(1, height - 1),
        np.where(x + 2 * y > (width + height) * 0.7, 220, 30),
        255 * (1 - x * y / max(1, (width - 1) * (height - 1))),
    ]
    values = np.stack(planes[:channels], axis=-1) + random.uniform(-noise, noise, (height, width, channels))
    return np.clip(values, 0, 255).astype(np.uint8)


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upright(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
        flat = np.floor(rgba[..., :3] * rgba[..., 3:] / 255 + 0.5).astype(np.uint8)
        return Image.fromarray(flat)
    return image.convert("RGB")


def to_size(image, size, how):
    if how == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    width, height = image.size
    scale = max(size / width, size / height)
    scaled = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    return scaled.crop((left, top, left + size, top + size))


def text(data):
    return base64.b64encode(data).decode()


def pixels(image):
    return text(np.asarray(image).tobytes())


def decoded(name, data):
    image = upright(data)
    assert image.width == image.height
    return {"name": name, "size": image.width, "file": text(data), "rgb": pixels(image), "grey": pixels(image.convert("L"))}


def rgb(width, height=None):
    return Image.fromarray(picture(width, height or width, 3))


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


grey = Image.fromarray(picture(12, 12, 1)[..., 0])
rgba = Image.fromarray(picture(12, 12, 4))
palette = rgb(12).quantize(17)
clear = palette.copy()
clear.info["transparency"] = 3

exact = [
    decoded("PNG, RGB", encode(rgb(12), "PNG")),
    decoded("PNG, grey", encode(grey, "PNG")),
    decoded("PNG, RGBA", encode(rgba, "PNG")),
    decoded("PNG, grey and alpha", encode(rgba.convert("LA"), "PNG")),
    decoded("PNG, palette", encode(palette, "PNG")),
    decoded("PNG, palette with a clear colour", encode(clear, "PNG", transparency=3)),
    decoded("PNG, one bit", encode(grey.convert("1"), "PNG")),
    decoded("PNG with a colour profile of another gamma", encode(rgb(12), "PNG", icc_profile=None, gamma=1.0)),
    decoded("WebP, lossless", encode(rgb(12), "WEBP", lossless=True)),
    decoded("WebP, lossless with alpha", encode(rgba, "WEBP", lossless=True, exact=True)),
    *[decoded(f"PNG, EXIF orientation {k}", encode(rgb(12), "PNG", exif=exif(k))) for k in range(1, 9)],
]
lossy = [
    decoded("JPEG, 4:4:4", encode(rgb(32), "JPEG", quality=90, subsampling=0)),
    decoded("JPEG, 4:2:0", encode(rgb(32), "JPEG", quality=80)),
    decoded("JPEG, progressive", encode(rgb(32), "JPEG", quality=80, progressive=True)),
    decoded("JPEG, grey", encode(grey, "JPEG", quality=90)),
    *[decoded(f"JPEG, EXIF orientation {k}", encode(rgb(16), "JPEG", quality=90, subsampling=0, exif=exif(k))) for k in (3, 6, 8)],
    decoded("WebP, lossy", encode(rgb(32), "WEBP", quality=80)),
]

resized = []
for name, image, kind, size in [
    ("64x64 to 32, as Tiny ImageNet", rgb(64), "PNG", 32),
    ("61x45 to 32", rgb(61, 45), "PNG", 32),
    ("45x61 to 32", rgb(45, 61), "PNG", 32),
    ("150x100 to 28", rgb(150, 100), "PNG", 28),
    ("200x200 to 20, tenfold", rgb(200), "PNG", 20),
    ("20x12 to 32, enlarged", rgb(20, 12), "PNG", 32),
    ("JPEG 160x160 to 32, fivefold", rgb(160), "JPEG", 32),
    ("WebP 160x120 to 32", rgb(160, 120), "WEBP", 32),
]:
    data = encode(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    for how in ("center-crop", "squash"):
        for_network = to_size(upright(data), size, how)
        resized.append({"name": name, "resize": how, "size": size, "file": text(data), "rgb": pixels(for_network)})

HERE.joinpath("images.json").write_text(json.dumps({"exact": exact, "lossy": lossy, "resized": resized}, indent=1) + "\n")
