"""A form with one file, read as it comes: nothing of it is kept in memory or on disk by the reading itself."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from a1zap.kit.errors import Invalid, Malformed

_FIELDS_MAX: Final = 8
_FIELD_BYTES_MAX: Final = 1024
_HEADERS_MAX: Final = 8
_HEADER_BYTES_MAX: Final = 4096
_Event: TypeAlias = tuple[Literal["begin", "header", "headers", "data", "end"], bytes, bytes]


@dataclass(frozen=True, slots=True)
class FilePart:
    """The form's file: `content` goes on reading the request. `fields` are those that came before it."""

    name: str | None
    mime_type: str
    fields: Mapping[str, str]
    content: AsyncGenerator[bytes] = field(repr=False)


async def read_file_part(content_type: str, body: AsyncIterator[bytes]) -> FilePart:
    """Read on to the field `file`.

    Raises:
        Malformed: this is no form.
        Invalid: there is no file in it.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary or len(boundary) > 70:
        raise Malformed("send multipart/form-data with the file in the field 'file'")
    form = _Form(boundary, body)
    fields: dict[str, str] = {}
    async for disposition, mime_type in form.parts():
        name = _text(disposition.get(b"name", b""))
        if name == "file" and b"filename" in disposition:
            return FilePart(_text(disposition[b"filename"]) or None, mime_type, fields, form.last_content())
        if len(fields) >= _FIELDS_MAX:
            raise Malformed(f"a form may have {_FIELDS_MAX} fields before its file")
        fields[name] = await form.small_content()
    raise Invalid("the form holds no file in the field 'file'", field="file")


class _Form:
    """Parts of a form, one after the other."""

    def __init__(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._events: deque[_Event] = deque()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        callbacks: Any = {
            "on_part_begin": lambda: self._add("begin"),
            "on_header_field": self._name_header,
            "on_header_value": self._fill_header,
            "on_header_end": self._end_header,
            "on_headers_finished": lambda: self._add("headers"),
            "on_part_data": self._add_data,
            "on_part_end": lambda: self._add("end"),
        }
        self._parser = MultipartParser(
            boundary, callbacks, max_header_count=_HEADERS_MAX, max_header_size=_HEADER_BYTES_MAX
        )

    async def parts(self) -> AsyncGenerator[tuple[Mapping[bytes, bytes], str]]:
        """Each part's disposition and type; its content must be read before the next."""
        headers: dict[bytes, bytes] = {}
        while (event := await self._next()) is not None:
            match event[0]:
                case "begin":
                    headers = {}
                case "header":
                    headers[event[1].lower()] = event[2]
                case "headers":
                    _, disposition = parse_options_header(headers.get(b"content-disposition", b""))
                    yield disposition, _text(headers.get(b"content-type", b""))[:100]
                case _:
                    pass

    async def small_content(self) -> str:
        content = bytearray()
        async for piece in self._content():
            content += piece
            if len(content) > _FIELD_BYTES_MAX:
                raise Malformed(f"a field may have {_FIELD_BYTES_MAX:,} bytes")
        return _text(bytes(content))

    async def last_content(self) -> AsyncGenerator[bytes]:
        """The content of the part at hand, after which no other file may come."""
        async for piece in self._content():
            yield piece
        async for disposition, _ in self.parts():
            if b"filename" in disposition:
                raise Invalid("send one file at a time", field="file")

    async def _content(self) -> AsyncGenerator[bytes]:
        while (event := await self._next()) is not None:
            if event[0] == "end":
                return
            if event[0] == "data":
                yield event[1]
        raise Malformed("the form broke off")

    async def _next(self) -> _Event | None:
        while not self._events:
            piece = await anext(self._body, None)
            if piece is None:
                return None
            try:
                self._parser.write(piece)
            except FormParserError:
                raise Malformed("this is no multipart/form-data") from None
        return self._events.popleft()

    def _add(self, kind: Literal["begin", "headers", "end"]) -> None:
        self._events.append((kind, b"", b""))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(("data", data[start:end], b""))

    def _name_header(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _fill_header(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _end_header(self) -> None:
        self._events.append(("header", bytes(self._header[0]), bytes(self._header[1])))
        self._header = (bytearray(), bytearray())


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
