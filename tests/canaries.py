"""A scan for planted texts: whether a file holds any of them, plain or in a form that is as good as plain."""

import base64
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

STEM = "zwKqvxJt"
"""What every planted text begins with: eight letters that nothing else has in a row, so one look finds them all."""
CONTROL = "QjXvwKzp"
"""The same, of texts that are planted where the scan must find them."""

BLOCK = 16 * 2**20
OVERLAP = 4096


@dataclass(frozen=True)
class Find:
    """A planted text in a file, and the form it had there."""

    file: str
    form: str
    offset: int


def forms_of(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield a text in each form that is as good as plain."""
    plain = secret.encode()
    yield "utf-8", plain
    yield "utf-16-le", secret.encode("utf-16-le")
    yield "utf-16-be", secret.encode("utf-16-be")
    yield "utf-32-le", secret.encode("utf-32-le")
    yield "hex", plain.hex().encode()
    yield "hex in capitals", plain.hex().upper().encode()
    yield "escaped", "".join(f"\\u{ord(letter):04x}" for letter in secret).encode()
    yield "octal", b"".join(b"\\%03o" % byte for byte in plain)
    yield "percent", "".join(f"%{byte:02X}" for byte in plain).encode()
    yield "backwards", plain[::-1]
    for shift in range(3):
        # Three letters become four: what stands before and after decides on the outer ones, so they are cut.
        first = -(-shift * 8 // 6)
        length = (shift + len(plain)) * 8 // 6 - first
        yield f"base64 {shift}", base64.b64encode(b"\0" * shift + plain)[first:][:length]
        yield f"base64url {shift}", base64.urlsafe_b64encode(b"\0" * shift + plain)[first:][:length]


def forms_of_number(number: str) -> Iterator[tuple[str, bytes]]:
    """Yield a number, which is soon guessed, in the forms it is likely to have, and its digests without a key."""
    likely = {"utf-8", "utf-16-le", "hex", "base64 0", "base64 1", "base64 2"}
    yield from (one for one in forms_of(number) if one[0] in likely)
    for name in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(name, number.encode(), usedforsecurity=False)
        yield f"{name} without a key", digest.digest()
        yield f"{name} without a key, in hex", digest.hexdigest().encode()


class Scan:
    """Looks for texts, for numbers and, plain only, for names in folders and files."""

    def __init__(self, texts: Iterable[str], numbers: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        texts = list(texts)
        self._literals = {
            **{literal: f"{one} as {form}" for one in texts for form, literal in forms_of(one)},
            **{literal: f"{one} as {form}" for one in numbers for form, literal in forms_of_number(one)},
            **{one.encode(): one for one in names},
        }
        # PostgreSQL's own compression puts a control byte before each eight letters it keeps.
        self._broken_up = [
            (f"{text} as kept by a compression", re.compile(b"[\x00-\xff]?".join(map(re.escape, _letters(text)))))
            for text in texts
        ]
        self.bytes = 0

    def folder(self, folder: Path, *, without: str) -> list[Find]:
        """Return what any file under a folder holds, but for one subfolder."""
        return [
            find
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and not path.is_relative_to(folder / without)
            for find in self.file(path)
        ]

    def file(self, path: Path) -> list[Find]:
        """Return what a file holds."""
        found: list[Find] = []
        offset, kept = 0, b""
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                self.bytes += len(block)
                found += [Find(str(path), form, offset - len(kept) + at) for form, at in self._in(kept + block)]
                kept, offset = block[-OVERLAP:], offset + len(block)
        return found

    def _in(self, block: bytes) -> Iterator[tuple[str, int]]:
        yield from self._plainly_in(block)
        for start in _streams(block):
            if inner := _inflated(block[start : start + 2**16]):
                yield from ((f"{form}, compressed", start) for form, _ in self._plainly_in(inner))

    def _plainly_in(self, block: bytes) -> Iterator[tuple[str, int]]:
        for literal, form in self._literals.items():
            if (at := block.find(literal)) >= 0:
                yield form, at
        for form, pattern in self._broken_up:
            if (hit := pattern.search(block)) is not None:
                yield form, hit.start()


def _letters(text: str) -> Iterator[bytes]:
    return (letter.encode() for letter in text)


def _streams(block: bytes) -> Iterator[int]:
    """Yield where gzip or zlib might begin."""
    for hit in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", block):
        yield hit.start()


def _inflated(block: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(block, 2**16)
    except zlib.error:
        return b""


def hidden(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield ways in which a text might stand in a file, to show that the scan sees each of them."""
    plain = secret.encode()
    yield "plain", b"said: " + plain + b"!"
    yield "utf-16", secret.encode("utf-16")
    yield "hex", b"\\x" + plain.hex().encode()
    for shift in range(3):
        yield f"base64 {shift}", base64.b64encode(b"x" * shift + plain + b"yy")
    yield "gzip", gzip.compress(plain * 3)
    yield "zlib", zlib.compress(b"said " + plain)
    if secret.isdigit():
        yield "a digest without a key", hashlib.sha256(plain).digest()
    else:
        yield "hex in capitals", plain.hex().upper().encode()
        yield "json", "".join(f"\\u{ord(letter):04x}" for letter in secret).encode()
        yield "kept letters", b"\x00" + b"\x00".join(plain[n : n + 8] for n in range(0, len(plain), 8))
