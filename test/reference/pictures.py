"""Pictures of the kinds that cameras, scanners and web pages write, with the pixels that Pillow reads of them.

    python test/reference/pictures.py        (pillow with AVIF, numpy; writes pictures.json beside this file)

Expected pixels are H x W x 3 bytes: upright, alpha flattened onto black, 16 bits a sample as value >> 8, CMYK by Pillow's own arithmetic. `truncated`
are files without their end, with the pixels that Pillow reads when `ImageFile.LOAD_TRUNCATED_IMAGES` is set.
"""

import io
import json
from pathlib import Path

import numpy as np
from images import encode, exif, picture, rgb, text, upright
from PIL import Image, ImageFile

HERE = Path(__file__).parent


def smooth(size, channels=3):
    """Slopes and an edge without noise. Where colour has half the resolution, decoders of AVIF enlarge it by different kernels: the edge differs."""
    return Image.fromarray(picture(size, size, channels, noise=0))


def entry(name, data, tolerance, image=None):
    """`tolerance`: by how much a level may differ from Pillow's, since decoders round differently."""
    found = upright(data) if image is None else image
    assert found.width == found.height
    return {"name": name, "size": found.width, "tolerance": tolerance, "file": text(data), "rgb": text(np.asarray(found).tobytes())}


def animated(kind, **options):
    frames = [rgb(12).quantize(20) if kind == "GIF" else rgb(12) for _ in range(3)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=40, **options)


def sixteen(kind, **options):
    """Grey of 16 bits, whose high bytes are the levels; Pillow's own conversion would cut off at 255."""
    values = (picture(12, 12, 1)[..., 0].astype(np.uint16) << 8) + np.arange(144, dtype=np.uint16).reshape(12, 12)
    levels = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    return encode(Image.fromarray(values), kind, **options), levels


def rgb_of_16_bits():
    """A PNG of RGB with 16 bits a sample, which Pillow reads and does not write."""
    import struct
    import zlib

    values = (picture(12, 12, 3).astype(np.uint16) << 8) + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff_float():
    return encode(Image.fromarray(picture(12, 12, 1)[..., 0].astype(np.float32)), "TIFF")


def main():
    grey = Image.fromarray(picture(12, 12, 1)[..., 0])
    rgba = Image.fromarray(picture(12, 12, 4))
    palette = rgb(12).quantize(17)
    clear = palette.copy()
    inks = Image.fromarray(picture(16, 16, 4), "CMYK")
    large = Image.fromarray(picture(40, 40, 3))
    kinds = [
        entry("JPEG, progressive, grey", encode(grey, "JPEG", quality=90, progressive=True), 1),
        entry("JPEG, 4:2:2", encode(smooth(40), "JPEG", quality=85, subsampling=1), 1),
        entry("JPEG, odd size, 4:2:0", encode(rgb(33), "JPEG", quality=85), 1),
        entry("JPEG, restart markers", encode(rgb(40), "JPEG", quality=85, restart_marker_blocks=2), 1),
        entry("PNG, grey, 16 bits", *(lambda data, levels: (data, 0, levels))(*sixteen("PNG"))),
        entry("PNG, RGB, 16 bits", rgb_of_16_bits(), 0),
        entry("PNG, two bits", encode(rgb(12).quantize(4), "PNG", bits=2), 0),
        entry("PNG, animated", animated("PNG"), 0),
        entry("WebP, animated", animated("WEBP", lossless=True), 0),
        entry("GIF", encode(palette, "GIF"), 0),
        entry("GIF, interlaced", encode(palette, "GIF", interlace=1), 0),
        entry("GIF, a clear colour", encode(clear, "GIF", transparency=3), 0),
        entry("GIF, animated", animated("GIF"), 0),
        entry("TIFF, RGB", encode(rgb(12), "TIFF"), 0),
        entry("TIFF, LZW", encode(rgb(12), "TIFF", compression="tiff_lzw"), 0),
        entry("TIFF, deflate", encode(rgb(12), "TIFF", compression="tiff_adobe_deflate"), 0),
        entry("TIFF, packbits, grey", encode(grey, "TIFF", compression="packbits"), 0),
        entry("TIFF, palette", encode(palette, "TIFF"), 0),
        entry("TIFF, one bit, fax", encode(grey.convert("1"), "TIFF", compression="group4"), 0),
        entry("TIFF, RGBA", encode(rgba, "TIFF"), 0),
        entry("TIFF, CMYK", encode(inks, "TIFF"), 3),
        entry("TIFF, grey, 16 bits", *(lambda data, levels: (data, 0, levels))(*sixteen("TIFF"))),
        entry("TIFF of two pages", encode(rgb(12), "TIFF", save_all=True, append_images=[rgb(12)]), 0),
        *[entry(f"TIFF, EXIF orientation {k}", encode(rgb(12), "TIFF", exif=exif(k)), 0) for k in (2, 6, 8)],
        entry("AVIF", encode(smooth(32), "AVIF", quality=90), 48),
        entry("AVIF, 4:4:4", encode(smooth(32), "AVIF", quality=95, subsampling="4:4:4"), 3),
        entry("AVIF, grey", encode(smooth(32).convert("L"), "AVIF", quality=90), 3),
        entry("AVIF with alpha", encode(rgba.resize((32, 32)), "AVIF", quality=100, subsampling="4:4:4"), 4),
        *[entry(f"AVIF, orientation {k}", encode(smooth(32), "AVIF", quality=90, exif=exif(k)), 48) for k in (3, 5, 6)],
        entry("AVIF, animated", animated("AVIF", quality=95, subsampling="4:4:4"), 4),
    ]

    ImageFile.LOAD_TRUNCATED_IMAGES = True
    truncated = []
    for name, data, tolerance in [
        ("JPEG", encode(large, "JPEG", quality=90), 1),
        ("JPEG, progressive", encode(large, "JPEG", quality=90, progressive=True), 2),
        ("PNG", encode(large, "PNG"), 0),
    ]:
        for kept in (0.75, 0.95):
            truncated.append(entry(f"{name}, {kept:.0%} of the file", data[: int(len(data) * kept)], tolerance))

    refused = {"a TIFF of floating-point samples": text(tiff_float())}
    found = {"kinds": kinds, "truncated": truncated, "refused": refused}
    HERE.joinpath("pictures.json").write_text(json.dumps(found, indent=1) + "\n")


main()
