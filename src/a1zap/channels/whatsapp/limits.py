"""What WhatsApp takes, as figures (characters, rows, bytes, seconds)."""

from __future__ import annotations

from typing import Final

TEXT_MAX: Final = 4096
BODY_MAX: Final = 1024  # of captions, interactive messages and a template's parameters
BUTTONS_MAX: Final = 3
BUTTON_TITLE_MAX: Final = 20
ROWS_MAX: Final = 10
ROW_TITLE_MAX: Final = 24
ROW_DESCRIPTION_MAX: Final = 72
LIST_BUTTON_MAX: Final = 20
CHOICE_ID_MAX: Final = 200
FILE_NAME_MAX: Final = 240
DELIVERY_MAX_BYTES: Final = 4 << 20  # Meta posts batches of up to about 3 MB

# The free-form window stays open this long after the other side's last message.
WINDOW_S: Final = 24 * 3600.0
# One receiver takes about one message in six seconds from us.
PAIR_WAIT_S: Final = 6.0

SENT_MAX_BYTES: Final = {
    "image": 5 << 20,
    "video": 16 << 20,
    "audio": 16 << 20,
    "document": 100 << 20,
}
# What people send us may be larger than what we may send.
FETCHED_MAX_BYTES: Final = {
    "image": 16 << 20,
    "video": 100 << 20,
    "audio": 16 << 20,
    "document": 100 << 20,
    "sticker": 1 << 20,
}
# What goes as picture, film or sound; anything else goes as a document.
SENT_AS: Final = {
    "image/jpeg": "image",
    "image/png": "image",
    "video/mp4": "video",
    "video/3gpp": "video",
    "audio/aac": "audio",
    "audio/amr": "audio",
    "audio/mp4": "audio",
    "audio/mpeg": "audio",
    "audio/ogg": "audio",
}
