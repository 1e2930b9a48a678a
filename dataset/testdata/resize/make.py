"""Draws a character of Omniglot's kind, 105x105 pixels of 1 bit, and what Pillow makes of it at 28 and at 20 pixels.

Written with Pillow 13.0.0: python3 make.py
"""

import os

from PIL import Image, ImageDraw

here = os.path.dirname(os.path.abspath(__file__))
side = 105

drawing = Image.new("1", (side, side), 1)
pen = ImageDraw.Draw(drawing)
pen.line([(20, 85), (50, 15), (84, 88)], fill=0, width=3)
pen.line([(33, 57), (71, 60)], fill=0, width=2)
pen.arc([5, 8, 97, 70], 200, 20, fill=0, width=3)
pen.point([(3, 3), (104, 104), (0, 50), (60, 104)], fill=0)
drawing.save(os.path.join(here, "drawing.png"))

grey = drawing.convert("L")
for size in (28, 20):
    # An image of 1 bit is always resized by nearest neighbour, whichever filter is named.
    nearest = drawing.resize((size, size), Image.Resampling.LANCZOS)
    assert nearest.tobytes() == drawing.resize((size, size), Image.Resampling.NEAREST).tobytes()
    # The mean of the covered area: every pixel as a square of size x size equal ones, then exact means of whole squares.
    # Image.reduce is off by one level here and there.
    large = grey.resize((side * size, side * size), Image.Resampling.NEAREST)
    squares = [
        large.crop((x * side, y * side, (x + 1) * side, (y + 1) * side)).tobytes() for y in range(size) for x in range(size)
    ]
    area = Image.frombytes("L", (size, size), bytes((2 * sum(s) + side**2) // (2 * side**2) for s in squares))
    made = {
        "nearest": nearest.convert("L"),
        "lanczos": grey.resize((size, size), Image.Resampling.LANCZOS),
        "bilinear": grey.resize((size, size), Image.Resampling.BILINEAR),
        "area": area,
    }
    for name, image in made.items():
        image.save(os.path.join(here, f"{name}-{size}.png"))
