"""Pictures are drawn anew: what comes out is pixels, whatever went in."""

from __future__ import annotations

import io
import os
import time

import pytest
from PIL import Image
from tests.rooms.attachments.pictures import (
    SECRET_WORDS,
    animation,
    photo_with_place,
    picture,
    png_bomb,
    png_text_bomb,
)

from a1zap.attachments.redraw import NotAPicture, Redrawer


async def redraw(content: bytes):
    return await Redrawer().redraw(content)


async def test_a_photo_loses_its_place_and_stands_upright():
    content = photo_with_place()
    assert SECRET_WORDS in content
    drawn = await redraw(content)
    image = Image.open(io.BytesIO(drawn.content))
    assert (drawn.mime_type, drawn.width, drawn.height) == ("image/jpeg", 60, 80)
    assert not image.getexif()
    assert b"Exif" not in drawn.content
    assert SECRET_WORDS not in drawn.content


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "BMP", "GIF"])
async def test_every_form_comes_out_as_one_that_browsers_and_models_know(form: str):
    drawn = await redraw(picture(form, mode="P" if form == "GIF" else "RGB"))
    assert drawn.mime_type in ("image/jpeg", "image/png")
    assert Image.open(io.BytesIO(drawn.content)).size == (64, 48)


async def test_what_was_clear_stays_clear():
    out = io.BytesIO()
    Image.new("RGBA", (10, 10), (255, 0, 0, 128)).save(out, "WEBP", lossless=True)
    drawn = await redraw(out.getvalue())
    assert drawn.mime_type == "image/png"
    assert Image.open(io.BytesIO(drawn.content)).getpixel((5, 5)) == (255, 0, 0, 128)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
async def test_what_moved_still_moves_and_models_see_its_first_frame(form: str):
    drawn = await redraw(animation(form))
    assert Image.open(io.BytesIO(drawn.content)).n_frames == 5
    assert drawn.mime_type == f"image/{form.lower()}"
    assert drawn.seen is not None
    assert getattr(Image.open(io.BytesIO(drawn.seen)), "n_frames", 1) == 1


async def test_a_large_photo_comes_with_a_smaller_one_for_models():
    drawn = await redraw(picture(size=(3000, 1000)))
    assert (drawn.width, drawn.height) == (3000, 1000)
    assert drawn.seen is not None
    assert Image.open(io.BytesIO(drawn.seen)).size == (1568, 523)


async def test_what_is_glued_to_a_picture_stays_behind():
    glued = picture() + b"<script>alert(document.cookie)</script>PK\x03\x04"
    drawn = await redraw(glued)
    assert b"script" not in drawn.content
    assert b"PK\x03\x04" not in drawn.content


@pytest.mark.parametrize("size", [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (50_001, 1_000)])
async def test_a_bomb_is_refused_before_it_goes_off(size: tuple[int, int]):
    began_s = time.monotonic()
    with pytest.raises(NotAPicture):
        await redraw(png_bomb(*size))
    assert time.monotonic() - began_s < 5


async def test_a_bomb_in_a_comment_does_not_go_off():
    began_s = time.monotonic()
    try:
        drawn = await redraw(png_text_bomb())
    except NotAPicture:
        pass
    else:
        assert len(drawn.content) < 10_000
    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff" + os.urandom(5_000),
        picture("PNG", (400, 400))[:3_000],
        picture("JPEG", (400, 400))[:3_000],
        picture("WEBP", (400, 400))[:3_000],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",  # Ghostscript must never hear of it
        picture("TIFF"),
    ],
)
async def test_what_is_broken_or_no_picture_is_refused(content: bytes):
    with pytest.raises(NotAPicture):
        await redraw(content)


async def test_the_child_knows_nothing_of_ours(monkeypatch: pytest.MonkeyPatch):
    """It is started with an environment of its own."""
    import asyncio

    seen = {}
    real = asyncio.create_subprocess_exec

    async def watched(*args: object, **more: object):
        seen.update(more)
        return await real(*args, **more)

    monkeypatch.setenv("A1ZAP_MASTER_KEY", "secret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    await redraw(picture())
    assert "A1ZAP_MASTER_KEY" not in seen["env"]
