"""Two kinds of plots, by hand: distributions and bars, both on a logarithmic axis."""
import html
import math

COLOURS = ("#c0392b", "#1f77b4", "#2e8b57", "#8e5ea2", "#e08a1e", "#17859c", "#7f6a4d", "#555555", "#b03a8c", "#6b8e23")
WIDTH = 900
FONT = 'font-family="sans-serif" font-size="12"'


def _page(height, title, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                      f'viewBox="0 0 {WIDTH} {height}" {FONT}>',
                      f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', _text(20, 24, title, size=15),
                      *parts, "</svg>"]) + "\n"


def _text(x, y, text, anchor="start", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(text)}</text>'


def _line(x1, y1, x2, y2, colour="#dddddd", width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


class LogAxis:
    """Whole decades that hold all values, from x `left` to `right`."""

    def __init__(self, values, left, right):
        self._low = math.floor(math.log10(min(values)))
        self._high = max(self._low + 1, math.ceil(math.log10(max(values))))
        self._left, self._right = left, right

    def at(self, value):
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._left + share * (self._right - self._left)

    def grid(self, top, bottom):
        parts = []
        for decade in range(self._low, self._high + 1):
            x = self.at(10 ** decade)
            parts += [_line(x, top, x, bottom, "#bbbbbb"), _text(x, bottom + 16, f"{10.0 ** decade:g}", "middle")]
            if decade < self._high:
                parts += [_line(self.at(m * 10 ** decade), top, self.at(m * 10 ** decade), bottom, "#eeeeee")
                          for m in range(2, 10)]
        return parts


def _legend(shown, titles, y):
    parts, x = [], 20
    for title in shown:
        wide = 30 + 7 * len(title)
        if x + wide > WIDTH - 20:
            x, y = 20, y + 18
        parts += [f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{_colour(titles, title)}"/>',
                  _text(x + 19, y, title)]
        x += wide
    return parts, y


def _colour(titles, title):
    return COLOURS[titles.index(title) % len(COLOURS)]


def distribution(title, unit, series, titles):
    """`series`: {title: sorted values}. The share of values that are at most x, as steps."""
    legend, y = _legend([name for name in titles if name in series], titles, 46)
    top, bottom, left, right = y + 18, y + 338, 60, WIDTH - 30
    axis = LogAxis([value for values in series.values() for value in values], left, right)
    parts = legend + axis.grid(top, bottom) + [_text((left + right) / 2, bottom + 36, unit, "middle")]
    for share in (0, 0.25, 0.5, 0.75, 0.9, 1):
        at = bottom - share * (bottom - top)
        parts += [_line(left, at, right, at), _text(left - 8, at + 4, f"{share:.0%}", "end")]
    for name, values in series.items():
        points, last = [], bottom
        for number, value in enumerate(values, 1):
            x, at = axis.at(value), bottom - number / len(values) * (bottom - top)
            points += [f"{x:.1f},{last:.1f}", f"{x:.1f},{at:.1f}"]
            last = at
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{_colour(titles, name)}" '
                     'stroke-width="2"/>')
    return _page(bottom + 50, title, parts)


def bars(title, groups, titles):
    """`groups`: {work: {title: (median, least, most)}}. A bar to the median, a line over the spread, the figure."""
    shown = [name for name in titles if any(name in group for group in groups.values())]
    legend, y = _legend(shown, titles, 46)
    top, left, right, thick = y + 18, 20, WIDTH - 80, 14
    axis = LogAxis([value for group in groups.values() for three in group.values() for value in three], left, right)
    parts, y = [], top
    for work, group in groups.items():
        parts.append(_text(left, y + 14, work))
        y += 20
        for name in (name for name in shown if name in group):
            middle, least, most = group[name]
            centre = y + thick / 2
            parts += [f'<rect x="{left}" y="{y}" width="{max(1.0, axis.at(middle) - left):.1f}" height="{thick - 3}" '
                      f'fill="{_colour(titles, name)}"/>',
                      _line(axis.at(least), centre - 1.5, axis.at(most), centre - 1.5, "#000000"),
                      _text(axis.at(most) + 5, centre + 3, f"{middle:.3g}", size=10)]
            y += thick
        y += 8
    grid = axis.grid(top, y)
    return _page(y + 44, title, legend + grid + parts + [_text((left + right) / 2, y + 34, "s", "middle")])
