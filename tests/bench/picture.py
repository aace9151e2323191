# SPDX-License-Identifier: MIT
"""Pictures of the bench: bars with their spread, as SVG."""
from xml.sax.saxutils import escape

WIDTH, ROW, LEFT, RIGHT, TOP = 860, 22, 300, 110, 56
COLOURS = ("#2563a8", "#b5561f", "#7a7a7a", "#3b8a4e")


def bars(path, title, unit, rows, series=("",)):
    """rows: (name, one value for each of `series`); a value is a number, (middle, least, most), or None. Written to `path`."""
    values = [v if isinstance(v, tuple) else (v, v, v) for _, vs in rows for v in vs if v is not None]
    top = max((most for _, _, most in values), default=1) or 1
    scale = (WIDTH - LEFT - RIGHT) / top
    high = ROW * len(series)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{TOP + len(rows) * (high + 8) + 12}" font-family="sans-serif" '
           f'font-size="13"><rect width="100%" height="100%" fill="white"/><text x="12" y="22" font-size="16">{escape(title)}</text>']
    for i, name in enumerate(series):
        if name:
            out.append(f'<rect x="{LEFT + i * 150}" y="32" width="12" height="12" fill="{COLOURS[i]}"/>'
                       f'<text x="{LEFT + i * 150 + 18}" y="43">{escape(name)}</text>')
    for r, (name, vs) in enumerate(rows):
        y = TOP + r * (high + 8)
        out.append(f'<text x="{LEFT - 10}" y="{y + high / 2 + 5}" text-anchor="end">{escape(name)}</text>')
        for i, v in enumerate(vs):
            if v is None:
                continue
            mid, least, most = v if isinstance(v, tuple) else (v, v, v)
            at = y + i * ROW
            out.append(f'<rect x="{LEFT}" y="{at + 2}" width="{max(mid * scale, 1):.1f}" height="{ROW - 4}" fill="{COLOURS[i]}"/>')
            if most > least:
                out.append(f'<path d="M{LEFT + least * scale:.1f} {at + ROW / 2}H{LEFT + most * scale:.1f}" stroke="black" stroke-width="2"/>')
            out.append(f'<text x="{LEFT + max(mid, most) * scale + 6:.1f}" y="{at + ROW - 6}">{mid:.4g} {escape(unit)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(out) + "\n</svg>\n", encoding="utf-8")
