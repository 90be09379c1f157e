"""Pictures and other files for tests, made on the spot; the hostile ones too."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image

SECRET_WORDS = b"Hidden in the comment: 48.8584 N 2.2945 E"


def picture(form: str = "JPEG", size: tuple[int, int] = (64, 48), *, mode: str = "RGB", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(out, form, **more)
    return out.getvalue()


def photo_with_place() -> bytes:
    """As a phone takes it: lying on its side, with the place where it was taken and a comment."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x010E] = SECRET_WORDS.decode()
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 51.0, 30.0)
    return picture(size=(80, 60), exif=exif, comment=SECRET_WORDS)


def animation(form: str = "GIF", frames: int = 5) -> bytes:
    pictures = [Image.new("RGB", (40, 30), (40 * n, 0, 255 - 40 * n)) for n in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:], duration=60)
    return out.getvalue()


def png_bomb(width: int, height: int) -> bytes:
    """A few kilobytes that say they are billions of pixels."""
    rows = zlib.compress(bytes(min((width + 1) * height, 30_000_000)), 9)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, 8, 0, 0, 0, 0)),
            _chunk(b"IDAT", rows),
            _chunk(b"IEND", b""),
        )
    )


def png_text_bomb() -> bytes:
    """A small picture whose comment unpacks to a hundred megabytes."""
    whole = picture("PNG", (8, 8))
    text = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    return whole[:33] + _chunk(b"zTXt", text) + whole[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def office(folder: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as whole:
        whole.writestr("[Content_Types].xml", "<Types/>")
        whole.writestr(f"{folder}/document.xml", "<x/>")
    return out.getvalue()


def zip_with_names(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as whole:
        for name in names:
            whole.writestr(name, "x")
    return out.getvalue()
