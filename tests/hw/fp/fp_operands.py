"""Operands of every class, and pairs of them that meet where arithmetic is hard."""

import itertools

import numpy as np


def edges(form):
    """Both signs of zero, of the ends of the subnormals and normals, of 1 and its neighbours, of infinity and NaN."""
    smallest_normal, one = 1 << form.mantissa_bits, form.bias << form.mantissa_bits
    magnitudes = [
        *(0, 1, 2, smallest_normal // 2, smallest_normal - 1, smallest_normal, smallest_normal + 1),
        *(one - 1, one, one + 1, form.infinity - 1, form.infinity, form.infinity + 1, form.quiet_nan),
        (1 << (form.width - 1)) - 1,
    ]
    return np.array([sign << (form.width - 1) | bits for sign in (0, 1) for bits in magnitudes], dtype=np.uint32)


def random_bits(form, count, rng):
    return rng.integers(0, 1 << form.width, count, dtype=np.uint32)


def sparse_fractions(form, count, rng):
    """Few ones, or few zeros, at the ends of a fraction: what halfway cases and long carries are made of."""
    short = rng.integers(0, 1 << min(3, form.mantissa_bits), count, dtype=np.uint32)
    fraction = short << rng.integers(0, form.mantissa_bits, count, dtype=np.uint32)
    fraction ^= rng.integers(0, 2, count, dtype=np.uint32) * np.uint32((1 << form.mantissa_bits) - 1)
    return fraction & np.uint32((1 << form.mantissa_bits) - 1)


def operands(form, count, rng):
    """Every class of operand: edges, subnormals, every exponent with sparse fractions, and any bits at all."""
    sign = rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(form.width - 1)
    exponent = rng.integers(0, form.max_biased_exponent + 1, count, dtype=np.uint32) << np.uint32(form.mantissa_bits)
    classes = [
        rng.choice(edges(form), count),
        sign | rng.integers(0, 1 << form.mantissa_bits, count, dtype=np.uint32),
        sign | exponent | sparse_fractions(form, count, rng),
        random_bits(form, count, rng),
    ]
    return np.choose(rng.integers(0, len(classes), count), classes).astype(np.uint32)


def partners(op, source, target, a, rng):
    """For each `a` a second operand that makes a hard case of it."""
    count = len(a)
    sign = np.uint32(1 << (source.width - 1))
    nearby = (a + rng.integers(-2, 3, count).astype(np.uint32)) & np.uint32((1 << source.width) - 1)
    exponent = (a & ~sign) >> np.uint32(source.mantissa_bits)
    if op == "add":
        # Cancellation to a few units in the last place, and exponents as far apart as a significand is long.
        distance = rng.integers(-source.mantissa_bits - 3, source.mantissa_bits + 4, count)
        aim = exponent.astype(np.int64) + distance
    else:
        # Products at the ends of the target's range: among its subnormals, at its smallest normal, at its overflow.
        ends = np.array([1 - target.bias - target.mantissa_bits - 2, 1 - target.bias, target.bias + 1])
        end = rng.choice(ends, count) + rng.integers(-2, 3, count)
        aim = end + 2 * source.bias - exponent.astype(np.int64)
    aimed = np.clip(aim, 0, source.max_biased_exponent - 1).astype(np.uint32) << np.uint32(source.mantissa_bits)
    aimed |= sparse_fractions(source, count, rng) | rng.integers(0, 2, count, dtype=np.uint32) * sign
    return np.where(rng.random(count) < 0.3, nearby ^ sign, aimed)


def midpoints(source, target, count, rng):
    """Numbers of the wider format at, just below and just above the middle of two neighbours of the narrower one."""
    spare = source.mantissa_bits - target.mantissa_bits
    if spare < 1:
        return operands(source, count, rng)
    exponent = rng.integers(-target.mantissa_bits - 2, 2 * target.bias + 3, count) + source.bias - target.bias
    fraction = rng.integers(0, 1 << target.mantissa_bits, count) << spare
    # Among the target's subnormals the middle is a higher bit.
    lost = np.clip(spare + source.bias - target.bias + 1 - exponent, spare, source.mantissa_bits)
    middle = (fraction >> lost << lost) | (1 << (lost - 1))
    stored = (
        (np.clip(exponent, 0, source.max_biased_exponent - 1) << source.mantissa_bits) + middle + rng.integers(-1, 2, count)
    )
    return (stored | rng.integers(0, 2, count) << (source.width - 1)).astype(np.uint32)


def vectors(op, source, target, count, rng):
    """`count` rows of operands or, where the edges alone are more, these: every edge with every edge, then hard and easy."""
    if op == "convert":
        rows = [edges(source), midpoints(source, target, count // 2, rng), operands(source, count, rng)]
        return np.concatenate(rows)[:count, np.newaxis]
    a, b = np.array(list(itertools.product(edges(source), repeat=2)), dtype=np.uint32).T
    rest = count - len(a)
    easy_a, easy_b = operands(source, rest, rng), operands(source, rest, rng)
    hard = partners(op, source, target, easy_a, rng)
    easy_b = np.where(rng.random(rest) < 0.5, hard, easy_b)
    return np.stack([np.concatenate([a, easy_a]), np.concatenate([b, easy_b])], axis=1)
