"""The drawings of the explanation: ``python docs/_generate/drawings.py`` writes them.

Each has its own ground and inks for light and for dark, and says in words what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "explanation"

_STYLE: Final = """
    .ground { fill: #ffffff; } .ink, .say { fill: #1f2328; } .line { stroke: #57606a; }
    .box { fill: #f3f4f6; stroke: #57606a; } .full { fill: #9ec5f4; stroke: #1f5fa8; }
    .part { fill: #cfe3fb; stroke: #1f5fa8; } .gone { fill: #f6d5a8; stroke: #9a5b00; }
    .head { fill: #57606a; } .soft { fill: #57606a; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #16191d; } .ink, .say { fill: #e6e8ea; } .line { stroke: #a7b0ba; }
      .box { fill: #262b31; stroke: #a7b0ba; } .full { fill: #2b5f9e; stroke: #9ec5f4; }
      .part { fill: #23405f; stroke: #9ec5f4; } .gone { fill: #6b4712; stroke: #f0b964; }
      .head { fill: #a7b0ba; } .soft { fill: #b4bcc5; }
    }
    text { font: 15px system-ui, sans-serif; } .small { font-size: 13px; }
    .bold { font-weight: 600; }
    rect, path, line { stroke-width: 1.5; }"""


class Drawing:
    """Shapes on a ground, with a title and a description for who can not see them."""

    def __init__(self, name: str, width: int, height: int, title: str, says: str) -> None:
        self.name = name
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-labelledby="title says">',
            f'  <title id="title">{escape(title)}</title>',
            f'  <desc id="says">{escape(says)}</desc>',
            f"  <style>{_STYLE}\n  </style>",
            '  <defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
            ' markerHeight="8" orient="auto-start-reverse">'
            '<path class="head" d="M0 0L10 5L0 10z"/></marker></defs>',
            f'  <rect class="ground" width="{width}" height="{height}" rx="10"/>',
        ]

    def box(
        self, x: int, y: int, width: int, height: int, text: str = "", kind: str = "box"
    ) -> None:
        """A box; lines of text in its middle."""
        self._lines.append(
            f'  <rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>'
        )
        if text:
            rows = text.split("\n")
            top = y + height / 2 + 5 - 9 * (len(rows) - 1)
            for row, said in enumerate(rows):
                self.text(x + width // 2, int(top + 18 * row), said, anchor="middle")

    def text(self, x: int, y: int, said: str, *, anchor: str = "start", kind: str = "ink") -> None:
        """A line of text."""
        self._lines.append(
            f'  <text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(said)}</text>'
        )

    def arrow(self, *points: tuple[int, int], both: bool = False, dashed: bool = False) -> None:
        """Straight lines through the points, with a head at the end."""
        path = "M" + "L".join(f"{x} {y}" for x, y in points)
        ends = ' marker-start="url(#head)"' if both else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._lines.append(
            f'  <path class="line" fill="none" d="{path}" marker-end="url(#head)"{ends}{dash}/>'
        )

    def magazine(self, x: int, y: int, filled: int) -> None:
        """A magazine: eight cells, from the bottom up so many of them filled."""
        for cell in range(8):
            kind = "full" if cell < filled else "box"
            self._lines.append(
                f'  <rect class="{kind}" x="{x}" y="{y + 9 * (7 - cell)}" width="54" height="9"/>'
            )

    def svg(self) -> str:
        """The file's text."""
        return "\n".join([*self._lines, "</svg>", ""])


def layers() -> Drawing:
    """Tree, depot and magazines, and what moves between them."""
    one = Drawing(
        "layers", 760, 500, "The layers of the allocator, for one size class",
        "Each CPU has a loaded and a previous magazine. An allocation takes a page frame number"
        " from the top of the loaded one, a free puts one there. Full magazines go to the depot, a"
        " list shared by all CPUs, and come back from it. The range tree holds every allocated"
        " range: a miss cuts one from it, reclaim empties magazines into it, and ranges larger"
        " than any size class go there directly.",
    )  # fmt: skip
    one.text(24, 36, "callers: alloc, free", kind="ink bold")
    for cpu, (loaded, previous) in enumerate(((5, 8), (3, 0), (8, 8))):
        x = 24 + 216 * cpu
        one.box(x, 84, 190, 150, kind="box")
        one.text(x + 12, 106, f"CPU {cpu}", kind="ink bold")
        one.magazine(x + 26, 118, loaded)
        one.magazine(x + 112, 118, previous)
        one.text(x + 53, 218, "loaded", anchor="middle", kind="soft small")
        one.text(x + 139, 218, "previous", anchor="middle", kind="soft small")
        one.arrow((x + 53, 48), (x + 53, 82), both=True)
        one.arrow((x + 95, 236), (x + 95, 276), both=True)
    one.text(340, 262, "whole magazines", kind="soft small")
    one.box(24, 278, 622, 76)
    one.text(36, 322, "depot", kind="ink bold")
    for place in range(6):
        one.box(110 + 84 * place, 298, 60, 36, "127", kind="full")
        if place < 5:
            one.arrow((170 + 84 * place, 316), (192 + 84 * place, 316))
    one.arrow((120, 356), (120, 412))
    one.text(134, 380, "reclaim, in the background:", kind="soft small")
    one.text(134, 398, "a full magazine is emptied", kind="soft small")
    one.arrow((668, 412), (668, 160), (648, 160), dashed=True)
    one.text(658, 380, "a miss: one range is cut", anchor="end", kind="soft small")
    one.text(658, 398, "for the caller", anchor="end", kind="soft small")
    one.box(24, 414, 712, 64)
    one.text(36, 452, "range tree", kind="ink bold")
    for x, width in ((140, 60), (210, 30), (250, 90), (380, 40), (425, 70), (540, 30), (580, 140)):
        one.box(x, 434, width, 26, kind="part")
    one.arrow((690, 48), (690, 412), both=True)
    one.text(680, 66, "too large", anchor="end", kind="soft small")
    return one


def exchange() -> Drawing:
    """What a free does when both magazines are full."""
    one = Drawing(
        "exchange", 760, 262, "A free that finds both magazines full",
        "Before: loaded and previous are full. The full loaded magazine goes onto the depot, an"
        " empty one takes its place, and the freed range is put into it. The previous magazine"
        " stays as it is. After: loaded holds one entry.",
    )  # fmt: skip
    for x, name, loaded in ((24, "before", 8), (306, "the exchange", 0), (560, "after", 1)):
        one.text(x, 36, name, kind="ink bold")
        one.magazine(x + 8, 60, loaded)
        one.magazine(x + 92, 60, 8)
        one.text(x + 35, 154, "loaded", anchor="middle", kind="soft small")
        one.text(x + 119, 154, "previous", anchor="middle", kind="soft small")
    one.arrow((200, 96), (290, 96))
    one.arrow((480, 96), (550, 96))
    one.arrow((314, 96), (290, 96), (290, 206), (310, 206))
    one.box(312, 188, 60, 36, "127", kind="full")
    one.box(396, 188, 60, 36, "127", kind="full")
    one.arrow((372, 206), (394, 206))
    one.text(306, 246, "the full one is now the depot's first", kind="soft small")
    one.text(560, 206, "the next 126 frees", kind="soft small")
    one.text(560, 224, "find room", kind="soft small")
    return one


def reclaim() -> Drawing:
    """The delayed job: what arms it, what it does, when it ends."""
    one = Drawing(
        "reclaim", 760, 306, "The reclaim of one size class over time, threshold 4",
        "Pushes raise the depot from 3 to 7 full magazines. The first push arms the job, which"
        " looks 100 ms later: the depot is above its threshold of 4, so one magazine is"
        " emptied into the tree and the job arms itself again. Three looks later the depot holds"
        " 4, and the fourth look finds nothing to do and does not arm the job.",
    )  # fmt: skip
    left, low, step = 110, 216, 20
    one.arrow((left, low), (730, low))
    one.arrow((left, low), (left, 40))
    one.text(24, 36, "full magazines in the depot", kind="ink bold")
    y = low - 4 * step
    one.text(left - 10, y + 5, "threshold", anchor="end", kind="soft small")
    lengths = [(0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (11, 6), (21, 5), (31, 4), (41, 4)]
    for (begin, length), (end, _) in zip(lengths, [*lengths[1:], (44, 0)], strict=True):
        x = left + 14 * begin
        height = length * step
        kind = "full" if length <= 4 else "gone"
        one.box(x, low - height, 14 * (end - begin) - 2, height, kind=kind)
    one.arrow((left, y), (726, y), dashed=True)
    for look, said in ((11, "frees 1"), (21, "frees 1"), (31, "frees 1"), (41, "nothing")):
        x = left + 14 * look
        one.arrow((x, 262), (x, low + 4))
        one.text(x, 280, said, anchor="middle", kind="ink small")
    one.text(left + 14, 262, "the first push", kind="soft small")
    one.text(left + 14, 280, "arms the job", kind="soft small")
    one.arrow((left + 14, 248), (left + 14, low + 4))
    for look in (1, 11, 21, 31):
        x = left + 14 * look
        one.text(x + 70, 236, "100 ms", anchor="middle", kind="soft small")
    return one


def flush_queue() -> Drawing:
    """Strict and lazy mode: when a range may be handed out again."""
    one = Drawing(
        "flush-queue", 760, 330, "When a range may be handed out again, strict and lazy",
        "Strict: unmap, IOTLB flush, free, for each range by itself. Lazy: unmap, then the range"
        " waits in a ring of its CPU; when the ring is full, or 10 ms have passed, one IOTLB"
        " flush serves all that wait, and all of them are freed.",
    )  # fmt: skip
    one.text(24, 36, "strict: a flush for each range", kind="ink bold")
    one.box(24, 56, 110, 44, "unmap")
    one.arrow((134, 78), (172, 78))
    one.box(174, 56, 130, 44, "IOTLB flush", kind="gone")
    one.arrow((304, 78), (342, 78))
    one.box(344, 56, 110, 44, "free", kind="full")
    one.arrow((454, 78), (492, 78))
    one.text(500, 83, "may be handed out again")
    one.text(24, 150, "lazy: one flush for many", kind="ink bold")
    for row in range(3):
        one.box(24, 170 + 48 * row, 110, 36, "unmap")
        one.arrow((134, 188 + 48 * row), (172, 188 + 48 * row))
    one.box(174, 170, 150, 132)
    one.text(249, 194, "ring of the CPU", anchor="middle")
    for cell in range(8):
        one.box(186 + 16 * cell, 206, 14, 40, kind="part" if cell < 5 else "box")
    one.text(249, 270, "full, or 10 ms old:", anchor="middle", kind="soft small")
    one.text(249, 288, "flush", anchor="middle", kind="soft small")
    one.arrow((324, 236), (352, 236))
    one.box(354, 214, 120, 44, "IOTLB flush", kind="gone")
    one.arrow((474, 236), (502, 236))
    one.box(504, 214, 90, 44, "free all", kind="full")
    one.arrow((594, 236), (622, 236))
    one.text(630, 232, "may be handed")
    one.text(630, 250, "out again")
    return one


def drawings() -> Iterator[Drawing]:
    """All of them."""
    for draw in (layers, exchange, reclaim, flush_queue):
        yield draw()


if __name__ == "__main__":
    for drawing in drawings():
        (FOLDER / f"{drawing.name}.svg").write_text(drawing.svg())
