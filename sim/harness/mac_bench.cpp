// Processing elements side by side, given random steps, against IEEE arithmetic of the host. Arguments: see sim/rtl/mac.py.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

static std::mt19937_64 engine;
static uint64_t draw(uint64_t below) { return engine() % below; }
static bool one_in(uint64_t times) { return draw(times) == 0; }

static int exponent_bits, mantissa_bits, bias;

static double decode(uint32_t bits) {
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
  const uint32_t fraction = bits & ((1u << mantissa_bits) - 1);
  const int all_ones = (1 << exponent_bits) - 1;
  double value = exponent == all_ones ? (fraction ? NAN : INFINITY)
                 : exponent == 0      ? std::ldexp(fraction, 1 - bias - mantissa_bits)
                                      : std::ldexp((1u << mantissa_bits) + fraction, exponent - bias - mantissa_bits);
  return bits >> (exponent_bits + mantissa_bits) & 1 ? -value : value;
}

// Bits of a number near `value`, which is clipped to the finite ones.
static uint32_t encode(double value) {
  int exponent;
  std::frexp(std::fabs(value), &exponent);
  const int lowest = 1 - bias, place = std::max(exponent - 1, lowest);
  const uint32_t top = ((1u << exponent_bits) - 1) << mantissa_bits;
  const double units = std::rint(std::ldexp(std::fabs(value), mantissa_bits - place));
  const double bits = std::ldexp(place - lowest, mantissa_bits) + units;
  return uint32_t(std::min(bits, double(top - 1))) | (value < 0 ? 1u << (exponent_bits + mantissa_bits) : 0);
}

static uint32_t any_number() {
  const uint32_t sign = uint32_t(draw(2)) << (exponent_bits + mantissa_bits), fraction = draw(1 << mantissa_bits);
  const uint32_t exponents = (1 << exponent_bits) - 1;
  switch (draw(12)) {
    case 0: {  // ends of ranges
      const uint32_t one = 1u << mantissa_bits, infinite = exponents << mantissa_bits;
      const uint32_t ends[] = {0, 0, 1, one - 1, one, infinite - 1, uint32_t(bias) << mantissa_bits};
      return sign | ends[draw(7)];
    }
    case 1: return sign | fraction;  // subnormal
    case 2: return sign | uint32_t(draw(exponents)) << mantissa_bits | (one_in(2) ? 0 : (1u << mantissa_bits) - 1);
    case 3: return sign | uint32_t(draw(exponents)) << mantissa_bits | 1u << draw(mantissa_bits);
    case 4: return one_in(12) ? sign | exponents << mantissa_bits | (one_in(2) ? fraction : 0) : sign | fraction;
    default: return sign | uint32_t(draw(exponents)) << mantissa_bits | fraction;
  }
}

static uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return std::isnan(value) ? 0x7fc00000 : bits;
}

// A sum that can be reached, often close to the negative of `product`.
static float any_sum(double product) {
  const int lowest = 2 * (1 - bias - mantissa_bits), highest = 2 * bias + 2 + 24;
  if (one_in(24)) {
    const float ends[] = {0, 0, INFINITY, -INFINITY, NAN};
    return ends[draw(5)];
  }
  int exponent = lowest + int(draw(highest - lowest));
  uint32_t fraction = draw(1 << 23);
  if (std::isfinite(product) && product != 0 && !one_in(4)) {
    std::frexp(product, &exponent);
    exponent += one_in(2) ? int(draw(5)) - 3 : int(draw(84)) - 43;
    if (one_in(2)) fraction = (bits_of(float(product)) + uint32_t(draw(9)) - 4) & 0x7fffff;
  }
  switch (draw(8)) {
    case 0: fraction = 0; break;
    case 1: fraction = 0x7fffff; break;
    case 2: fraction = 1u << draw(23); break;
    case 3: fraction &= ~0u << draw(23) & 0x7fffff; break;
    default: break;
  }
  const double value = std::ldexp(1 + std::ldexp(fraction, -23), std::clamp(exponent, lowest, highest));
  const float sum = float(std::ldexp(std::floor(std::ldexp(value, -lowest)), lowest));
  return sum != 0 && one_in(2) ? -sum : sum;
}

struct Step {
  double product = 0;
  bool first = true, last = false;
  float west = 0, total = 0;
};

int main(int count, char** arguments) {
  if (count != 8) return 2;
  auto argument = [&](int number) { return std::atoll(arguments[number]); };
  const int64_t steps = argument(1);
  engine.seed(argument(2));
  exponent_bits = argument(3), mantissa_bits = argument(4), bias = (1 << (exponent_bits - 1)) - 1;
  const int multiply = argument(5), add = argument(6), cores = argument(7), latency = 1 + multiply + add;
  const int width = 1 + exponent_bits + mantissa_bits, group = 16;

  Vtop top;
  auto clock = [&] {
    top.clk = 0;
    top.eval();
    top.clk = 1;
    top.eval();
  };
  auto* north = reinterpret_cast<uint32_t*>(&top.north);
  auto* sums = reinterpret_cast<uint32_t*>(&top.o);

  std::vector<int64_t> different(cores), distances(81);
  int64_t nan = 0, infinite = 0, zero = 0, cancelled = 0, settled = 0, tile = 0, position = 0;
  std::vector<Step> history(256);
  auto at = [&](int64_t step) -> Step& { return history[step & 255]; };
  uint32_t weight = 0, index = 0;

  for (int64_t step = 0; step < steps; step++) {
    const bool stationary = step >= steps / 2;
    if (step == 0 || step == steps / 2 || one_in(3000)) {  // long resets first, then any
      const int cycles = step == 0 ? 5 : 1 + int(draw(4));
      top.en = 0, top.rst = 1;
      for (int cycle = 0; cycle < cycles; cycle++) clock();
      top.rst = 0, settled = step + 4 * latency, position = 0, tile = 0;
    }
    Step& now = at(step);
    const float own = at(step - add).total;
    if (position == tile) position = 0, tile = add * (1 + draw(one_in(3) ? 4 : 40));
    now.first = stationary ? one_in(16) : position < add;
    now.last = !stationary && position >= tile - add;
    position++;

    // Operands; in half of the steps whose sum is known, a weight that nearly cancels it.
    const bool take = !stationary || one_in(4);
    uint32_t items[group];
    for (int number = 0; number < group; number++) {
      items[number] = any_number();
      const int bit = number * width;
      if (bit % 32 == 0) north[bit / 32] = 0;
      north[bit / 32] |= items[number] << bit % 32;
    }
    uint32_t offered_index = draw(group), offered = any_number();
    if (!stationary && !now.first && std::isfinite(own) && own != 0 && one_in(2)) {
      const double factor = decode(items[offered_index]);
      if (std::isfinite(factor) && factor != 0) {
        offered = encode(-double(own) / factor);
        if (one_in(2)) offered += int(draw(5)) - 2;
        offered &= (1u << width) - 1;
      }
    }
    if (stationary || position > 2 * add) {  // few sums are to be infinite
      const uint32_t all = (1u << exponent_bits) - 1;
      auto finite = [&](uint32_t bits) { return (bits >> mantissa_bits & all) != all || one_in(20); };
      if (!finite(offered)) offered ^= 1u << mantissa_bits;
      if (!finite(items[offered_index]) && !stationary) offered = 0, offered_index = (offered_index + 1) % group;
    }
    if (take) weight = offered, index = offered_index;
    now.product = decode(weight) * decode(items[index]);
    now.west = any_sum(at(step - 1 - multiply).product);

    // What the element computes in this step, from what came before.
    Step& adding = at(step - 1 - multiply);
    const float base = adding.first ? 0 : stationary ? now.west : at(step - 1 - multiply - add).total;
    adding.total = base + float(adding.product);
    if (!stationary) {  // known ahead, for the weights that cancel
      now.total = (now.first ? 0 : own) + float(now.product);
    }

    top.stationary = stationary, top.first = now.first, top.last = now.last, top.take = take;
    top.weight = offered, top.index = offered_index, top.drain = bits_of(now.west);
    for (top.en = 0; one_in(8);) {
      top.first = draw(2);
      clock();
    }
    top.en = 1, top.first = now.first;
    clock();

    if (step < settled) continue;
    const Step& leaving = at(step - latency);
    const uint32_t due = bits_of(stationary || leaving.last ? leaving.total : at(step - add).west);
    for (int core = 0; core < cores; core++) different[core] += sums[core] != due;

    const float sum = adding.total, product = float(adding.product);
    nan += std::isnan(sum), infinite += std::isinf(sum), zero += sum == 0;
    if (std::isfinite(sum) && base != 0 && product != 0 && std::isfinite(base) && std::isfinite(product)) {
      const int distance = std::ilogb(base) - std::ilogb(product);
      if (std::abs(distance) <= 40) distances[distance + 40]++;
      cancelled += sum != 0 && std::ilogb(sum) <= std::max(std::ilogb(base), std::ilogb(product)) - 10;
    }
  }
  const long long lowest = *std::min_element(distances.begin(), distances.end());
  std::printf("{\"steps\": %lld, \"nan\": %lld, \"infinite\": %lld, \"zero\": %lld, \"cancelled\": %lld, \"lowest\": %lld",
              (long long)steps, (long long)nan, (long long)infinite, (long long)zero, (long long)cancelled, lowest);
  for (int core = 0; core < cores; core++) std::printf(", \"{%d} different\": %lld", core, (long long)different[core]);
  std::puts("}");
}
