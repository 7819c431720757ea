"""What is put where a number, a name or a byte should be."""

import json

WHOLE = (0, -1, 1, 2, 3, 7, 255, 4096, 2**31, 2**40, 2**53, 2**62, 2**64, 10**30, 10**4299, 10**5000)
FRACTIONS = ("inf", "-inf", "nan", "1e-300", "1e300", "-0.0", "1e5000", "0.5")
NAMES = (
    "",
    " ",
    "[red]x[/nope]",
    "=cmd|' /C calc'!A0",
    "\x1b[31mred",
    "ü" * 300,
    "\u202eabc",
    "../../x",
    ":smile:",
    "a" * 100_000,
    "a\0b",
    "layer",
    "input",
    "conv",
    "\n",
    "%s%n",
    "{x}",
    "DP",
)
DEEP = 100_000


def text_of(number):
    """Of a whole number, however long."""
    return str(number) if abs(number) < 10**4000 else "1" + "0" * (4299 if number < 10**4500 else 5000)


def mutated(rng, content, most=8):
    """Bytes with some of them changed, cut out, repeated or cut off."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, most))):
        place, length = int(rng.integers(0, len(content) + 1)), int(rng.integers(1, 9))
        kind = rng.integers(0, 5)
        if kind == 0:
            content[place : place + length] = rng.bytes(length)
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + 4 * length]
        elif kind == 3 and content:
            content[place % len(content)] ^= 1 << int(rng.integers(0, 8))
        elif rng.random() < 0.2:
            del content[place:]
    return bytes(content)


def pick(rng, values):
    return values[int(rng.integers(0, len(values)))]


def bent(rng, value, depth=0):
    """JSON with something in it replaced, dropped or nested."""
    if depth > 2 or rng.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return pick(rng, (None, True, [], {}, -1, 2**60, 1.5, "x", float("inf"), float("nan"), [[[[]]]], {"a": 1}, *NAMES[:6]))
    if isinstance(value, list):
        place = int(rng.integers(0, len(value)))
        return [*value[:place], bent(rng, value[place], depth + 1), *value[place + 1 :]]
    name = pick(rng, list(value))
    if rng.random() < 0.2:
        return {key: part for key, part in value.items() if key != name}
    return value | {name: bent(rng, value[name], depth + 1)}


def json_text(rng, value):
    """Of a value, bent or damaged."""
    kind = rng.integers(0, 6)
    if kind == 0:
        return mutated(rng, json.dumps(value).encode())
    if kind == 1:
        return json.dumps(value).replace("1", text_of(pick(rng, WHOLE)), 1).encode()
    if kind == 2:
        return pick(rng, (b"[" * DEEP, b'{"a":' * DEEP, b'"\\ud800"', b"", b"\xff", b"null", b"1" * 5000))
    return json.dumps(bent(rng, value)).encode()
