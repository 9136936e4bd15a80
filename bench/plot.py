"""Log-log plots as SVG, readable on a light and on a dark page."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 74, 20, 78, 52

STYLE = """
    .panel { fill: #ffffff; stroke: #d0d7de; }
    .grid { stroke: #d8dee4; stroke-width: 1; }
    .axis { stroke: #57606a; stroke-width: 1.2; }
    .title { fill: #1f2328; font-size: 15px; font-weight: 600; }
    .text { fill: #1f2328; font-size: 12px; }
    .note { fill: #57606a; font-size: 12px; }
    .line { fill: none; stroke-width: 2; }
    .s0 { stroke: #1f6feb; } .f0 { fill: #1f6feb; }
    .s1 { stroke: #b35900; } .f1 { fill: #b35900; }
    .s2 { stroke: #2f8151; } .f2 { fill: #2f8151; }
    @media (prefers-color-scheme: dark) {
      .panel { fill: #0d1117; stroke: #30363d; }
      .grid { stroke: #262c36; }
      .axis { stroke: #9198a1; }
      .title { fill: #f0f6fc; }
      .text { fill: #e6edf3; }
      .note { fill: #9198a1; }
      .s0 { stroke: #6cb0ff; } .f0 { fill: #6cb0ff; }
      .s1 { stroke: #f0a04b; } .f1 { fill: #f0a04b; }
      .s2 { stroke: #4fb477; } .f2 { fill: #4fb477; }
    }
"""


@dataclass
class Line:
    """A named row of values, one for each x."""

    name: str
    values: list[float]


@dataclass
class Panel:
    """One plot. Values of zero or less have no place on a log axis and are left out."""

    title: str
    unit: str
    lines: list[Line]


def svg(title: str, description: str, x_label: str, xs: list[int], panels: list[Panel]) -> str:
    width = WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" role="img" '
        'aria-labelledby="title description" font-family="system-ui, -apple-system, '
        "'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\">",
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="description">{escape(description)}</desc>',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="panel" x="0.5" y="0.5" width="{width - 1}" height="{HEIGHT - 1}" rx="10"/>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'  <g transform="translate({index * WIDTH} 0)">')
        parts += [f"    {part}" for part in draw(panel, x_label, xs)]
        parts.append("  </g>")
    return "\n".join([*parts, "</svg>", ""])


def draw(panel: Panel, x_label: str, xs: list[int]) -> list[str]:
    values = [value for line in panel.lines for value in line.values if value > 0]
    low, high = span(values)
    first, last = log10(xs[0]), log10(xs[-1])

    def x(value: float) -> float:
        return LEFT + 18 + (log10(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT - 54)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [text(LEFT, 26, "title", panel.title)]
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(text(LEFT - 8, at + 4, "note", f"{10.0**power:,g} {panel.unit}", "end"))
    for count in xs:
        at, base = x(count), HEIGHT - BOTTOM
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{base}"/>')
        parts.append(text(at, base + 18, "note", f"{count:,}", "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "text", x_label, "middle"))
    edge = f"M{LEFT} {TOP} V{HEIGHT - BOTTOM} H{WIDTH - RIGHT}"
    parts.append(f'<path class="axis" fill="none" d="{edge}"/>')
    at = LEFT
    for index, line in enumerate(panel.lines):
        parts.append(f'<circle class="f{index}" cx="{at + 5}" cy="48" r="4"/>')
        parts.append(text(at + 14, 52, "text", line.name))
        at += 30 + 6.6 * len(line.name)
        known = [(x(count), y(value)) for count, value in zip(xs, line.values) if value > 0]
        path = " L".join(f"{left:.1f} {top:.1f}" for left, top in known) or "0 0"
        parts.append(f'<path class="line s{index}" d="M{path}"/>')
        parts += [
            f'<circle class="f{index}" cx="{left:.1f}" cy="{top:.1f}" r="3.5"/>'
            for left, top in known
        ]
    for number, count in enumerate(xs):
        column = [(line.values[number], index) for index, line in enumerate(panel.lines)]
        parts += labels(x(count), sorted(pair for pair in column if pair[0] > 0), y)
    return parts


def labels(x: float, column: list[tuple[float, int]], y: Callable[[float], float]) -> list[str]:
    """Figures at one x, ascending: the lowest below its point, the highest above, between them to the
    right, so that lines which are close stay readable."""
    parts = []
    for place, (value, index) in enumerate(column):
        if place == len(column) - 1:
            right, down, anchor = 0, -9, "middle"
        elif place == 0:
            right, down, anchor = 0, 18, "middle"
        else:
            right, down, anchor = 8, 12, "start"
        kind = f"text f{index}"
        parts.append(text(x + right, y(value) + down, kind, figure(value), anchor))
    return parts


def span(values: list[float]) -> tuple[int, int]:
    """Whole powers of ten around the values."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def figure(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def text(x: float, y: float, kind: str, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def escape(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
