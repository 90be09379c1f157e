"""Speech becomes text: the port, and its one implementation for whatever speaks OpenAI's API (Whisper servers too).

https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import orjson

from a1zap.kit.egress import Egress, EgressFailed, EgressRefused, EgressTimedOut
from a1zap.kit.errors import ModelUnavailable
from a1zap.llm.contract import ModelRefused

BYTES_MAX: Final = 25 * 1024 * 1024  # what OpenAI takes
CHARACTERS_MAX: Final = 50_000
_TOTAL_S: Final = 60.0
# The service goes by the name's ending, so it gets one that fits, and never the sender's own.
_ENDINGS: Final[Mapping[str, str]] = {
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/amr": "amr",
}


class Transcriber(Protocol):
    """Writes down what is said in a recording."""

    async def transcribe(self, content: bytes, mime_type: str) -> str:
        """The words; "" where none are said.

        Raises:
            ModelUnavailable: not now.
            ModelRefused: it will not take this recording.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenAITranscriber:
    """One model behind one `/audio/transcriptions`."""

    base_url: str
    api_key: str | None = field(repr=False)
    model: str
    egress: Egress = field(repr=False)
    is_trusted: bool = True

    async def transcribe(self, content: bytes, mime_type: str) -> str:
        if len(content) > BYTES_MAX:
            raise ModelRefused(f"{self.model}: a recording may have {BYTES_MAX:,} bytes")
        boundary = secrets.token_hex(16)
        headers = {"content-type": f"multipart/form-data; boundary={boundary}", "accept": "application/json"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        try:
            answer = await self.egress.request(
                "POST",
                self.base_url.rstrip("/") + "/audio/transcriptions",
                headers=headers,
                body=_form(boundary, self.model, content, mime_type),
                total_s=_TOTAL_S,
                read_max_bytes=4 << 20,
                trusted=self.is_trusted,
            )
        except (EgressTimedOut, EgressFailed) as error:
            raise ModelUnavailable(f"{self.model}: {error}") from None
        except EgressRefused as error:
            raise ModelRefused(f"{self.model}: {error}") from None
        if answer.status in (408, 409, 429) or answer.status >= 500:
            raise ModelUnavailable(f"{self.model}: HTTP {answer.status}")
        if answer.status != 200:
            raise ModelRefused(f"{self.model}: HTTP {answer.status}")
        return _text(self.model, answer.body)


def _form(boundary: str, model: str, content: bytes, mime_type: str) -> bytes:
    """The three fields as multipart/form-data."""
    ending = _ENDINGS.get(mime_type, "ogg")
    fields = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in (("model", model), ("response_format", "json"))
    )
    file_head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="voice.{ending}"\r\n'
        f"Content-Type: {mime_type}\r\n\r\n"
    ).encode()
    return b"".join((fields, file_head, content, f"\r\n--{boundary}--\r\n".encode()))


def _text(model: str, body: bytes) -> str:
    try:
        said: Any = cast("dict[str, Any]", orjson.loads(body))["text"]
    except (ValueError, TypeError, KeyError):
        said = None
    if not isinstance(said, str):
        raise ModelUnavailable(f"{model}: its answer is not in the expected form")
    return said.strip()[:CHARACTERS_MAX]
