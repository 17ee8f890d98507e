"""Which packets of an H.264 stream hold one field of a picture, and which two of them are one frame."""

from __future__ import annotations

from typing import NamedTuple

from tfdfd.data.h264 import SLICE_TYPES, nal_units

_SPS, _PPS = 7, 8
_WITH_CHROMA_FORMAT = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)
"""Values of profile_idc whose sequence parameters say more of the pixels."""
_SLICE_HEADER_BYTES, _PARAMETER_BYTES = 40, 1024
"""More than what is read here of a slice's header and of parameters ever takes."""


class _Sequence(NamedTuple):
    """What a sequence parameter set says of the headers of slices."""

    has_colour_planes: bool
    frame_num_bits: int
    is_progressive: bool
    """frame_mbs_only_flag: no picture of the sequence is a field, or holds macroblocks of fields."""


class _Field(NamedTuple):
    is_bottom: bool
    frame_num: int


class FieldPairs:
    """Follows a stream packet by packet and pairs the fields that lie in packets of their own.

    A camera that codes a picture as two fields writes each as an access unit of its own, and demuxers give each a
    packet; a decoder puts out one frame for both.

    Args:
        extradata: the codec's configuration, as the container stores it.
        length_size: what `tfdfd.data.h264.length_size_of` returned.

    Source: ITU-T H.264, 7.3.2.1.1, 7.3.2.2, 7.3.3 and 3.30 (complementary field pairs).
    """

    def __init__(self, extradata: bytes | None, length_size: int | None) -> None:
        self._length_size = length_size
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self._waiting: _Field | None = None
        self._num_lone = 0
        for unit in _configuration(extradata, length_size):
            self._read_parameters(unit)

    @property
    def may_be_interlaced(self) -> bool:
        """Whether some picture may be a field, or hold fields."""
        return any(not sequence.is_progressive for sequence in self._sequences.values())

    @property
    def has_lone_field(self) -> bool:
        """Whether a field is without its other field, so that packets do not tell what a decoder makes of it."""
        return self._num_lone > 0 or self._waiting is not None

    def is_second(self, packet: memoryview | bytes) -> bool:
        """Take the next packet and return whether it holds the second field of the packet before it."""
        fields = self._fields_in(packet)
        if len(fields) == 1 and self._waiting is not None:
            first, second = self._waiting, fields[0]
            if first.is_bottom != second.is_bottom and first.frame_num == second.frame_num:
                self._waiting = None
                return True
        self._num_lone += self._waiting is not None
        self._waiting = fields[0] if len(fields) == 1 else None
        return False

    def _fields_in(self, packet: memoryview | bytes) -> list[_Field]:
        """Return the fields in a packet, each once: none for a whole frame, two where both lie in it."""
        fields: list[_Field] = []
        for unit in nal_units(packet, self._length_size):
            if unit[0] & 0x1F in SLICE_TYPES:
                field = self._field_of(unit)
                if field is None:
                    return []
                if field.is_bottom not in {found.is_bottom for found in fields}:
                    fields.append(field)
            else:
                self._read_parameters(unit)
        return fields

    def _read_parameters(self, unit: memoryview) -> None:
        kind = unit[0] & 0x1F
        try:
            if kind == _SPS:
                number, sequence = _read_sequence(_Bits(unit[1:_PARAMETER_BYTES]))
                self._sequences[number] = sequence
            elif kind == _PPS:
                bits = _Bits(unit[1:_PARAMETER_BYTES])
                self._sequence_of[bits.exp_golomb()] = bits.exp_golomb()
        except EOFError:
            return  # damaged; slices that need it are taken for whole frames

    def _field_of(self, unit: memoryview) -> _Field | None:
        """Return the field that a slice belongs to, None if it belongs to a frame, or cannot be read."""
        if not self.may_be_interlaced:
            return None
        bits = _Bits(unit[1:_SLICE_HEADER_BYTES])
        try:
            bits.skip_exp_golomb(2)  # first macroblock and type
            sequence = self._sequences.get(self._sequence_of.get(bits.exp_golomb(), -1))
            if sequence is None or sequence.is_progressive:
                return None
            if sequence.has_colour_planes:
                bits.read(2)
            frame_num = bits.read(sequence.frame_num_bits)
            return _Field(bits.read(1) == 1, frame_num) if bits.read(1) else None
        except EOFError:
            return None


class _Bits:
    """Reads a NAL unit bit by bit."""

    def __init__(self, data: memoryview) -> None:
        # An encoder puts a 3 behind two zero bytes, so that no start code appears inside.
        raw = bytes(data).replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(raw, "big"), 8 * len(raw)

    def read(self, count: int) -> int:
        """Return the next bits as a number.

        Raises:
            EOFError: if there are not so many.
        """
        if count > self._left:
            raise EOFError
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """Return the next number of ue(v)."""
        num_zeros = 0
        while not self.read(1):
            num_zeros += 1
        return (1 << num_zeros) - 1 + self.read(num_zeros)

    def skip_exp_golomb(self, count: int) -> None:
        """Pass over numbers of ue(v) or se(v), which are equally long."""
        for _ in range(count):
            self.exp_golomb()

    def signed(self) -> int:
        """Return the next number of se(v)."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _configuration(extradata: bytes | None, length_size: int | None) -> list[memoryview]:
    """Return the NAL units that the container stores beside the packets."""
    data = memoryview(extradata or b"")
    if length_size is None:
        return list(nal_units(data, None))
    units: list[memoryview] = []
    position = 5
    for mask in (0x1F, 0xFF):  # first sequences, then pictures
        if position >= len(data):
            break
        count, position = data[position] & mask, position + 1
        for _ in range(count):
            size = int.from_bytes(data[position : position + 2], "big")
            unit, position = data[position + 2 : position + 2 + size], position + 2 + size
            if len(unit):
                units.append(unit)
    return units


def _read_sequence(bits: _Bits) -> tuple[int, _Sequence]:
    """Return the number of a sequence parameter set and what is needed of it."""
    profile = bits.read(8)
    bits.read(16)  # constraints and level
    number = bits.exp_golomb()
    has_colour_planes = False
    if profile in _WITH_CHROMA_FORMAT:
        chroma_format = bits.exp_golomb()
        has_colour_planes = chroma_format == 3 and bits.read(1) == 1
        bits.skip_exp_golomb(2)  # bit depths
        bits.read(1)  # lossless
        if bits.read(1):
            for matrix in range(12 if chroma_format == 3 else 8):
                _skip_scaling_matrix(bits, 16 if matrix < 6 else 64)
    frame_num_bits = bits.exp_golomb() + 4
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.read(1)
        bits.skip_exp_golomb(2)
        bits.skip_exp_golomb(bits.exp_golomb())
    bits.exp_golomb()  # references
    bits.read(1)  # gaps
    bits.skip_exp_golomb(2)  # width and height
    return number, _Sequence(has_colour_planes, frame_num_bits, bits.read(1) == 1)


def _skip_scaling_matrix(bits: _Bits, size: int) -> None:
    if not bits.read(1):
        return
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
