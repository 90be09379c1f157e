"""A program of its own: reads one picture on stdin, draws it anew, writes it to stdout. Run by `redraw.py`.

Decoders are large, old, and read what strangers send. So this runs apart, without our memory, environment or files,
and stops itself: so much memory, so much time, no file larger than it may be. What it writes holds pixels and nothing
else: no place, no camera, no comment, and nothing that was hidden behind the picture.

It imports nothing of ours, so that it starts quickly and knows no secret.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings
from typing import Any

from PIL import Image, ImageOps, ImageSequence

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF")
PIXELS_MAX = 50_000_000
JPEG_PIXELS_MAX = 250_000_000  # phones make them; a JPEG can be read at an eighth of its size
SIDE_MAX = 4096
SEEN_SIDE_MAX = 1568  # what the large models scale down to anyway
FRAMES_MAX = 150
FRAME_PIXELS_MAX = 40_000_000  # of all frames together
MEMORY_BYTES = 1 << 30
CPU_S = 15
_QUALITY = 85


class Refused(Exception):
    """Said to the owner."""


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    try:
        told, drawn, seen = redraw(sys.stdin.buffer.read())
    except Refused as refused:
        told, drawn, seen = {"refused": str(refused)}, b"", b""
    except MemoryError:
        told, drawn, seen = {"refused": "the picture takes more memory than we give it"}, b"", b""
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like on what strangers send
        told, drawn, seen = {"refused": f"the picture is broken ({type(error).__name__})"}, b"", b""
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + drawn + seen)
    return 0


def redraw(content: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """What is to be told of a picture, the picture anew, and the smaller one for models (empty: it is small enough)."""
    Image.MAX_IMAGE_PIXELS = None  # our own limits, and as refusals
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_pixels(image)
        if _is_animation(image):
            drawn, mime_type, size = _redraw_animation(image)
            seen, seen_mime = _small(_first_frame(image))
        else:
            still = _upright(image)
            drawn, mime_type, size = _redraw_still(still, image.format or "")
            is_small = max(size) <= SEEN_SIDE_MAX and mime_type != "image/gif"
            seen, seen_mime = (b"", mime_type) if is_small else _small(still)
    told = {
        "mime_type": mime_type,
        "width": size[0],
        "height": size[1],
        "bytes": len(drawn),
        "seen_mime": seen_mime,
    }
    return told, drawn, seen


def _check_pixels(image: Image.Image) -> None:
    pixels = image.width * image.height
    limit = JPEG_PIXELS_MAX if image.format in ("JPEG", "MPO") else PIXELS_MAX
    if pixels > limit:
        raise Refused(f"the picture has {pixels:,} pixels; {limit:,} are taken")
    if not pixels:
        raise Refused("the picture has no pixels")


def _is_animation(image: Image.Image) -> bool:
    if image.format not in ("GIF", "WEBP"):
        return False
    frames = getattr(image, "n_frames", 1)
    return 1 < frames <= FRAMES_MAX and frames * image.width * image.height <= FRAME_PIXELS_MAX


def _upright(image: Image.Image) -> Image.Image:
    """The first frame, decoded, turned as its camera said, and no larger than we keep."""
    image.draft("RGB", (SIDE_MAX, SIDE_MAX))  # JPEG only: read at half, a quarter, an eighth
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("RGB", "RGBA", "L", "P"):
        upright = upright.convert("RGBA" if "A" in upright.getbands() else "RGB")
    if max(upright.size) > SIDE_MAX:
        upright = _plain(upright)
        upright.thumbnail((SIDE_MAX, SIDE_MAX))
    return upright


def _plain(image: Image.Image) -> Image.Image:
    """In true colours, so that it can be scaled."""
    if image.mode in ("RGB", "RGBA"):
        return image.copy()
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _redraw_still(image: Image.Image, form: str) -> tuple[bytes, str, tuple[int, int]]:
    if form in ("JPEG", "MPO", "AVIF", "BMP", "WEBP") and not _has_alpha(image):
        return _written(image.convert("RGB"), "JPEG"), "image/jpeg", image.size
    return _written(_bare(image), "PNG"), "image/png", image.size


def _redraw_animation(image: Image.Image) -> tuple[bytes, str, tuple[int, int]]:
    frames = [_bare(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    durations = [max(20, int(frame.info.get("duration") or 100)) for frame in ImageSequence.Iterator(image)]
    out = io.BytesIO()
    form = "GIF" if image.format == "GIF" else "WEBP"
    more: dict[str, Any] = {"disposal": 2} if form == "GIF" else {"method": 0, "quality": 80}
    frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=durations, loop=0, **more)
    return out.getvalue(), f"image/{form.lower()}", image.size


def _first_frame(image: Image.Image) -> Image.Image:
    image.seek(0)
    return image.convert("RGBA")


def _small(image: Image.Image) -> tuple[bytes, str]:
    small = _plain(image)
    small.thumbnail((SEEN_SIDE_MAX, SEEN_SIDE_MAX))
    if _has_alpha(small):
        return _written(_bare(small), "PNG"), "image/png"
    return _written(small.convert("RGB"), "JPEG"), "image/jpeg"


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def _bare(image: Image.Image) -> Image.Image:
    """The pixels alone: what stands beside them (text, colour profile, EXIF) stays behind."""
    bare = image.copy()
    for name in [name for name in bare.info if name != "transparency"]:
        del bare.info[name]
    return bare


def _written(image: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    bare = _bare(image)
    if form == "JPEG":
        bare.save(out, "JPEG", quality=_QUALITY)
    else:
        bare.save(out, form)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
