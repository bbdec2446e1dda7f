"""What SAM-QFS knows of an inode beyond POSIX, and the text in which Python and the C stubs keep it.

The first line has six numbers: attr, flags, KiB that stay on disk, generation, residence time, time of birth. Each
further line is a section of a copy: copy number, flags, time, number of the section, media, volume, position, offset,
size.
"""

from dataclasses import dataclass, field

SS_DAMAGED = 0x10
SS_SAMFS = 0x800
SS_PARTIAL = 0x4000
SS_OFFLINE = 0x8000
SS_ARCHIVED = 0x10000
SS_STAGEFAIL = 0x02

CF_STALE = 0x01
CF_DAMAGED = 0x10
CF_ARCHIVED = 0x80


@dataclass
class Section:
    """A part of an archive copy on one volume; most copies have one."""

    media: str
    vsn: str
    position: int
    offset: int
    size: int


@dataclass
class Copy:
    """An archive copy of a file."""

    sections: list[Section]
    created: int
    stale: bool = False
    damaged: bool = False

    @property
    def good(self) -> bool:
        """Whether the file can be staged from this copy."""
        return not (self.stale or self.damaged)

    def flags(self) -> int:
        """Return the ``flags`` of the copy in the record of sam_stat."""
        return CF_ARCHIVED | (CF_STALE if self.stale else 0) | (CF_DAMAGED if self.damaged else 0)


@dataclass
class InodeState:
    """What SAM-QFS knows of an inode beyond POSIX."""

    generation: int
    born: int
    offline: bool = False
    partial: int = 0  # KiB that stay on disk
    stage_failed: bool = False
    damaged: bool = False
    residence_time: int = 0
    copies: dict[int, Copy] = field(default_factory=dict)  # numbered from 1

    def good_copies(self) -> list[Copy]:
        """Return the copies the file can be staged from, lowest number first."""
        return [self.copies[number] for number in sorted(self.copies) if self.copies[number].good]

    def attributes(self) -> int:
        """Return the ``attr`` bits of sam_stat."""
        return (
            SS_SAMFS
            | (SS_OFFLINE if self.offline else 0)
            | (SS_PARTIAL if self.offline and self.partial else 0)
            | (SS_DAMAGED if self.damaged else 0)
            | (SS_ARCHIVED if self.good_copies() else 0)
        )


def text_of(state: InodeState) -> str:
    """Return *state* as it is kept."""
    flags = SS_STAGEFAIL if state.stage_failed else 0
    lines: list[tuple[object, ...]] = [
        (state.attributes(), flags, state.partial, state.generation, state.residence_time, state.born)
    ]
    lines += [
        (number, copy.flags(), copy.created, index, part.media, part.vsn, part.position, part.offset, part.size)
        for number, copy in sorted(state.copies.items())
        for index, part in enumerate(copy.sections)
    ]
    return "".join(f"{' '.join(map(str, line))}\n" for line in lines)


def state_of(text: str) -> InodeState:
    """Return what *text* says."""
    first, *lines = text.splitlines()
    attr, flags, partial, generation, residence_time, born = map(int, first.split())
    copies: dict[int, Copy] = {}
    for line in lines:
        number, copy_flags, created, _, media, vsn, position, offset, size = line.split()
        bits = int(copy_flags)
        copy = Copy([], int(created), bool(bits & CF_STALE), bool(bits & CF_DAMAGED))
        section = Section(media, vsn, int(position), int(offset), int(size))
        copies.setdefault(int(number), copy).sections.append(section)
    return InodeState(
        generation,
        born,
        bool(attr & SS_OFFLINE),
        partial,
        bool(flags & SS_STAGEFAIL),
        bool(attr & SS_DAMAGED),
        residence_time,
        copies,
    )
