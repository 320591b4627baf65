"""Sound and odd audio files for tests, as bytes."""

import array
import io
import math
import struct

import soundfile

_PCM_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def pcm(seconds=1.0, rate=8000, channels=1):
    """A tone as interleaved 16-bit samples."""
    frames = round(seconds * rate)
    wave = [round(9000 * math.sin(math.tau * 440 * n / rate)) for n in range(frames)]
    samples = array.array("h", [sample for sample in wave for _ in range(channels)])
    return samples.tobytes()


def chunk(name, body, size=None):
    """A RIFF chunk; ``size`` is what its header lies."""
    pad = b"\0" * (len(body) % 2)
    return name + struct.pack("<I", len(body) if size is None else size) + body + pad


def fmt(channels=1, rate=8000, *, tag=1, bits=16, block=None, extensible=False):
    """The body of a WAV's format chunk."""
    block = channels * bits // 8 if block is None else block
    shown = 0xFFFE if extensible else tag
    body = struct.pack("<HHIIHH", shown, channels, rate, rate * block, block, bits)
    if extensible:
        body += struct.pack("<HHIH", 22, bits, 0, tag) + _PCM_GUID_TAIL
    return body


def riff(*chunks, size=None, magic=b"RIFF", form=b"WAVE"):
    """Chunks in a RIFF file; ``size`` is what its header lies."""
    body = form + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def wav(seconds=1.0, rate=8000, channels=1, *, data_size=None, riff_size=None, **form):
    """A WAV of 16-bit PCM, or of what ``form`` says that it is."""
    data = chunk(b"data", pcm(seconds, rate, channels), data_size)
    return riff(chunk(b"fmt ", fmt(channels, rate, **form)), data, size=riff_size)


def write_recording(folder):
    """A directory with one recording that is fit to go up."""
    folder.mkdir(exist_ok=True)
    (folder / "a.wav").write_bytes(wav())
    (folder / "a.json").write_text("{}")


def encoded(container, subtype=None, *, seconds=1.0, rate=8000, channels=1, **options):
    """What libsndfile makes of a tone."""
    import numpy as np

    samples = np.frombuffer(pcm(seconds, rate, channels), dtype="<i2").reshape(-1, channels)
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=container, subtype=subtype, **options)
    return out.getvalue()


def mp3(seconds=2.0, rate=16000, channels=1, mode="CONSTANT"):
    """An MP3 as an encoder makes it, with an announcement in its first frame."""
    return encoded(
        "MP3",
        "MPEG_LAYER_III",
        seconds=seconds,
        rate=rate,
        channels=channels,
        bitrate_mode=mode,
        compression_level=0.5,
    )


def opus(seconds=2.0, rate=48000, channels=1):
    """An Ogg Opus as an encoder makes it."""
    return encoded("OGG", "OPUS", seconds=seconds, rate=rate, channels=channels)


def frame(kbits=32, *, mono=True):
    """A frame of MPEG-2 layer III at 16 kHz, 36 ms: a header, and zeros for sound."""
    index = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160).index(kbits)
    head = bytes((0xFF, 0xF3, index << 4 | 2 << 2, 0xC0 if mono else 0))
    return head + bytes(72 * kbits * 1000 // 16000 - 4)


def announcing(frames, nbytes, name=b"Xing"):
    """A first frame that announces so many frames and bytes."""
    body = frame(64)
    if name == b"VBRI":
        told = b"VBRI" + struct.pack(">HHHII", 1, 0, 0, nbytes, frames)
        return body[:36] + told + body[36 + len(told) :]
    told = name + struct.pack(">III", 3, frames, nbytes)
    return body[:13] + told + body[13 + len(told) :]


def id3(size):
    """An ID3v2 tag with so many bytes in it."""
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + syncsafe + bytes(size)


def page(body, *, flags=0, position=0, serial=1, number=0, lacing=None):
    """An Ogg page of one packet, or of those whose lacing is given; its checksum is not set."""
    if lacing is None:
        lacing = bytes([255] * (len(body) // 255) + [len(body) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, serial, number, 0, len(lacing))
    return head + lacing + body


def opus_head(channels=1, pre_skip=312):
    """The packet that begins an Opus stream."""
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, pre_skip, 16000, 0, 0)


def opus_pages(*positions, serial=1, tags=b"OpusTags" + bytes(8)):
    """An Ogg Opus with one page for each position; the packets of the first play for 20 ms."""
    pages = [page(opus_head(), flags=2, serial=serial), page(tags, serial=serial, number=1)]
    for number, position in enumerate(positions, 2):
        end = 4 if number == len(positions) + 1 else 0
        packet = b"\x08" + bytes(40)  # SILK, 20 ms, one frame
        pages.append(page(packet, flags=end, position=position, serial=serial, number=number))
    return b"".join(pages)


def gsm(frames=10):
    """Frames of GSM 06.10, as in a headerless .gsm file."""
    return (b"\xd2" + bytes(32)) * frames


class Handle(io.RawIOBase):
    """A file of ``size`` bytes that begins with ``head`` and goes on with zeros.

    It counts what is read, and costs nothing, however large it is.
    """

    def __init__(self, head, size=None):
        super().__init__()
        self.head = head
        self.size = len(head) if size is None else size
        self.position = self.reads = self.nbytes = 0

    def seek(self, offset, whence=0):
        assert whence == 0
        assert offset >= 0
        self.position = offset
        return offset

    def read(self, count=-1):
        assert 0 <= count <= 1 << 20
        count = max(min(count, self.size - self.position), 0)
        data = self.head[self.position : self.position + count].ljust(count, b"\0")
        self.position += count
        self.reads += 1
        self.nbytes += count
        return data
