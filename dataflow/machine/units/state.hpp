// What decides the future of a unit: what stays, and what only goes on.
//
// A unit's `state` says all of its members that change (their names end in _), each as what it is:
//
//     same     stands as it is: a flag, a small number, a word in a register        equal in a state that returns
//     thing    is one of the program's commands                                     the same one
//     time     is a cycle                                                           equal from now on; what is past is past
//     toward   goes on to an end, within one item: words of a pass, rounds of a     moves on by as much in each period
//              tile
//              or only falls until something is freed, which `item` counts: room in a buffer
//     row      is a place in a sequence whose rows are equal or not                 moves on over rows that are equal
//     count    counts and decides nothing                                           moves on
//
// Two cycles whose `phase` is equal are the same state but for what moves on. As long as all that moves on stays short of its
// end, and among equal rows, what happened between them happens again.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "isa.hpp"
#include "rows.hpp"

namespace machine {

using Numbers = std::vector<Int>;

// Numbers in few bits: most are small, and a state has a thousand.
class Phase {
public:
    void clear() {
        count_ = 0;
        hash_ = 0;
    }
    [[gnu::always_inline]] void add(Int number) {
        if (count_ + 1 + PARTS > halves_.size()) [[unlikely]]
            halves_.resize(2 * halves_.size() + 64);
        const auto half = static_cast<std::int16_t>(number);
        if (half == number && half != WIDE) [[likely]] {
            halves_[count_++] = half;
            return;
        }
        halves_[count_++] = WIDE;
        std::memcpy(&halves_[count_], &number, sizeof number);
        count_ += PARTS;
    }
    std::size_t hash() const { return hash_; }

    // No more is added.
    void end() {
        for (; count_ % PARTS; ++count_) halves_[count_] = 0;
        for (std::size_t place = 0; place < count_; place += PARTS) {
            std::uint64_t word;
            std::memcpy(&word, &halves_[place], sizeof word);
            hash_ = (hash_ ^ word) * 0xFF51AFD7ED558CCD;
            hash_ ^= hash_ >> 32;
        }
    }

    // With its numbers alone, to be kept.
    Phase kept() const {
        Phase one;
        one.halves_.assign(halves_.begin(), halves_.begin() + count_);
        one.count_ = count_;
        one.hash_ = hash_;
        return one;
    }
    bool operator==(const Phase& other) const {
        return count_ == other.count_ && !std::memcmp(halves_.data(), other.halves_.data(), count_ * sizeof halves_[0]);
    }

private:
    static constexpr std::size_t PARTS = sizeof(Int) / sizeof(std::int16_t);
    static constexpr std::int16_t WIDE = INT16_MIN;  // before the parts of a number that is not small
    std::size_t count_ = 0, hash_ = 0;
    std::vector<std::int16_t> halves_;
};

class State {
public:
    Int now = 0;
    Phase phase;     // all that must be equal
    Numbers values;  // all that moves on

    // Begin to write down the state at the beginning of cycle `now`.
    void begin(Int cycle) {
        now = cycle;
        phase.clear();
        values.clear();
        moving_.clear();
    }
    void end() { phase.end(); }

    void same(Int value) { phase.add(value); }
    void thing(const void* command) { phase.add(reinterpret_cast<Int>(command)); }
    void time(Int cycle) { phase.add(cycle > now ? cycle - now : 0); }

    // Cycles in order, those that have passed left out.
    template <class Cycles>
    void times(const Cycles& cycles) {
        Int count = 0;
        for (Int cycle : cycles)
            if (cycle >= now) {
                phase.add(cycle - now);
                ++count;
            }
        phase.add(-2 - count);
    }

    // `more` has come since the member was written last.
    void count(Int& member, Int more = 0) { moves(&member, member + more, Kind::count, 0, nullptr); }

    // `item` counts items: within one, the member goes on, and has an effect where it comes to `end`.
    void toward(Int& member, Int end, Int item) {
        moves(&member, member, Kind::toward, end, nullptr);
        moves(nullptr, item, Kind::toward, 0, nullptr);
    }

    void row(Int& member, Kinds& rows) {
        phase.add(rows.kind(member));
        moves(&member, member, Kind::row, 0, &rows);
    }

    // How often, `most` at most, what happened since the same phase with the values `before` happens again, exactly.
    Int periods(const Numbers& before, Int most) const {
        for (std::size_t place = 0; place < moving_.size(); ++place) {
            const Moving& one = moving_[place];
            const Int step = values[place] - before[place];
            if (one.kind == Kind::toward && one.member && step) {
                if (before[place + 1] != values[place + 1]) return 0;
                most = std::min(most, left(one.end - values[place], step));
            }
        }
        for (std::size_t place = 0; place < moving_.size() && most > 0; ++place) {
            const Int step = values[place] - before[place];
            if (moving_[place].rows && step) most = step > 0 ? moving_[place].rows->periods(before[place], step, most) : 0;
        }
        return std::max<Int>(most, 0);
    }

    // As `periods`, of what once happened between the values `before` and `after`, from the same phase to itself.
    Int periods_as(const Numbers& before, const Numbers& after, Int most) const {
        for (std::size_t place = 0; place < moving_.size(); ++place) {
            const Moving& one = moving_[place];
            const Int step = after[place] - before[place];
            if (one.kind != Kind::toward || !one.member) continue;
            if (step) most = std::min(most, left(one.end - values[place], step));
            // What came to its end in between did so as far away from it.
            if (before[place + 1] != after[place + 1] && before[place] != values[place]) return 0;
        }
        for (std::size_t place = 0; place < moving_.size() && most > 0; ++place) {
            Kinds* rows = moving_[place].rows;
            const Int step = after[place] - before[place];
            if (!rows || !step) continue;
            if (!rows->same(before[place], values[place], step + 1)) return 0;
            most = 1 + rows->periods(values[place], step, most - 1);
        }
        return std::max<Int>(most, 0);
    }

    // Go on by so many periods, in each of which values go from `before` to `after`.
    void move(const Numbers& before, const Numbers& after, Int periods) const {
        for (std::size_t place = 0; place < moving_.size(); ++place)
            if (moving_[place].member) *moving_[place].member += (after[place] - before[place]) * periods;
    }

private:
    enum class Kind { count, toward, row };
    struct Moving {
        Kind kind;
        Int* member;
        Int end;
        Kinds* rows;
    };
    std::vector<Moving> moving_;

    void moves(Int* member, Int value, Kind kind, Int end, Kinds* rows) {
        values.push_back(value);
        moving_.push_back({kind, member, end, rows});
    }

    // How often something can go on by `step` and stay short of its end, which is so far away.
    static Int left(Int way, Int step) { return (step > 0) == (way > 0) ? (std::abs(way) - 1) / std::abs(step) : 0; }
};

}  // namespace machine
