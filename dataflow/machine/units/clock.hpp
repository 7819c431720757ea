// Time: units step in the cycles in which they are awake, and meet in FIFOs.
#pragma once
#include <array>
#include <bit>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "isa.hpp"
#include "state.hpp"
#include "walk_rows.hpp"

namespace machine {

// Marks of a cycle: a row of a walk begins, a part is handed out, a row begins that few are like.
enum Mark : Int { ROW = 1, HAND_OUT = 2, LANDMARK = 4 };

constexpr Int NEVER = Int(1) << 62;

class Fifo;
class Meter;
class Unit;

// Steps units, in each cycle those that are awake, in any order: what one does the others see in later cycles.
class Clock {
public:
    const Sizes sizes;
    Int now = -1;     // the cycle
    Int skipped = 0;  // cycles that were not stepped one by one; they are not in `now`
    std::vector<Unit*> units;
    std::vector<Fifo*> fifos;
    std::vector<Meter*> meters;
    KnownWalks walks;
    Int marked = 0;              // by units, where the state may be one that was there before
    Int look_at = 0;             // the cycle from which on `look` is called where none is marked
    bool hurries = false;        // no state returns: what a unit is sure to do in cycles to come it may do at once, and sleep
    bool stops = false;          // set within a cycle: `run` returns behind it
    std::function<void()> look;  // called at the beginning of a cycle after one that was marked

    explicit Clock(const Sizes& sizes) : sizes(sizes) {}
    Clock(const Clock&) = delete;

    // Step a unit in `cycle`, which is to come.
    [[gnu::always_inline]] void wake(Int unit, Int cycle) {
        const Int cycles = cycle - now;
        if (cycles <= 0 || cycles >= NEAR) return wake_far(unit, cycle);
        near(cycle) |= Set(1) << unit;
        if (cycles > 1) last_ = std::max(last_, cycle);
    }

    // Whether a unit steps in this cycle, or is to in the next one.
    bool awake(Int unit) const { return (awake_ | near(now + 1)) >> unit & 1; }

    // Whether no other unit steps in this cycle, or any is to in the next one.
    bool alone(const Unit* unit) const;

    Int earliest() const;  // the first cycle to come in which a unit is to step, or NEVER

    // Step until nothing is awake, a cycle stops, or so many are stepped; whether something is left to do.
    bool run(Int cycles);

    void state(State& out) const;  // who wakes when

private:
    using Set = std::uint64_t;         // of units, by number
    static constexpr Int NEAR = 1024;  // cycles ahead in a ring; what is further is in a map
    Set awake_ = 0;
    std::array<Set, NEAR> near_{};
    Int last_ = -1;  // cycle behind the next one that was written in the ring
    std::map<Int, Set> far_;

    Set& near(Int cycle) { return near_[static_cast<std::uint64_t>(cycle) % NEAR]; }
    Set near(Int cycle) const { return near_[static_cast<std::uint64_t>(cycle) % NEAR]; }
    void take(Int cycle);

    [[gnu::noinline]] void wake_far(Int unit, Int cycle) {
        if (cycle <= now) throw std::logic_error("a unit is to wake in a cycle that is past");
        far_[cycle] |= Set(1) << unit;
    }
};

// Counts the cycles in which something is so: the level is above zero.
class Meter {
public:
    const Int number;

    explicit Meter(Clock& clock) : number(static_cast<Int>(clock.meters.size())) { clock.meters.push_back(this); }
    Meter(const Meter&) = delete;

    // One more, from a cycle on; cycles never go back.
    void up(Int cycle) {
        if (!level_) since_ = cycle;
        ++level_;
    }

    void down(Int cycle) {
        if (!--level_) total_ += cycle - since_;
    }

    Int total() const { return total_; }  // of the times that are over

    // Cycles before `cycle`, which is now.
    Int so_far(Int cycle) const { return total_ + (level_ ? std::max<Int>(cycle - since_, 0) : 0); }

    void state(State& out) {
        out.same(level_);
        out.count(total_, level_ ? out.now - since_ : 0);
    }

private:
    Int total_ = 0, level_ = 0, since_ = 0;
};

// Something that steps.
class Unit {
public:
    Clock& clock;
    const Int number;

    explicit Unit(Clock& clock) : clock(clock), number(static_cast<Int>(clock.units.size())) {
        if (number >= 64) throw std::logic_error("more units than a set has bits");
        clock.units.push_back(this);
    }
    Unit(const Unit&) = delete;
    virtual ~Unit() = default;

    // What happens in this cycle; who does something wakes itself for the next.
    virtual void step() = 0;

    // Say all that decides what it does from this cycle on, at the beginning of the cycle.
    virtual void state(State& out) = 0;

    // Nothing is inside.
    virtual bool idle() const { return true; }

    [[gnu::always_inline]] void wake(Int cycles = 1) { clock.wake(number, clock.now + cycles); }

    Int counted() const { return seen_ ? seen_->number : -1; }  // by which meter

protected:
    // From this cycle on it is in what `meter` counts, and no longer in what it was.
    void seen(Meter* meter) {
        if (meter == seen_) return;
        if (seen_) seen_->down(clock.now);
        if (meter) meter->up(clock.now);
        seen_ = meter;
    }

private:
    Meter* seen_ = nullptr;
};

// A FIFO between two units, as far as its words say nothing: room and words show in the cycle after they came to be.
//
// Its sink is woken when its first word shows, its source when it is no longer full.
class Fifo {
public:
    struct Kind {
        bool buffered = false;   // a register stands behind its memory, as in Amaranth's SyncFIFOBuffered: words take 2 cycles
        bool deep = false;       // its sink looks at more words than the first, and is woken for each
        bool relative = false;   // words mean something to a unit alone, which then says them in its state
        Meter* meter = nullptr;  // counts the cycles in which a word is on offer; words then show in the next cycle
    };

    Clock& clock;
    Int depth;
    Unit *source = nullptr, *sink = nullptr;
    Int taken_at = -1;

    Fifo(Clock& clock, Int depth, Int delay = 1) : Fifo(clock, depth, delay, Kind()) {}
    Fifo(Clock& clock, Int depth, Int delay, Kind kind)
        : clock(clock), depth(depth), kind_(kind), delay_(kind.buffered ? 2 : delay) {
        clock.fifos.push_back(this);
    }
    Fifo(const Fifo&) = delete;
    virtual ~Fifo() = default;

    Int count() const { return count_; }

    bool valid() const { return count_ > 0 && first_at_ <= clock.now; }

    bool holds(Int count) const { return !count || (count_ >= count && time(count - 1) <= clock.now); }

    bool ready() const {
        if (!kind_.buffered) return count_ + (taken_at == clock.now) < depth;
        const bool moved = count_ > 0 && first_at_ <= clock.now && taken_at < clock.now;  // the first has left the memory
        return count_ - moved < depth - 1;
    }

    // Whether it is `ready` in the next cycle, whether or not a word is taken in it.
    bool ready_next() const {
        if (!kind_.buffered) return count_ < depth;
        return count_ - (count_ > 0 && first_at_ <= clock.now + 1) < depth - 1;
    }

    // Nothing is inside at all.
    bool empty() const { return taken_at != clock.now && (!count_ || first_at_ - delay_ >= clock.now); }

    // From which cycle on the last word was put in an earlier one.
    Int settles_at() const { return count_ ? time(count_ - 1) - delay_ + 1 : 0; }

    // Add a word, now or so many cycles from now.
    [[gnu::always_inline]] void put(Int cycles = 0) {
        const Int at = clock.now + cycles + delay_;
        if (!count_) first_at_ = at;
        if (sink && (kind_.deep || !count_)) clock.wake(sink->number, at);
        if (count_ > mask_) grow();
        times_[(first_ + count_) & mask()] = at;
        ++count_;
        if (kind_.meter) kind_.meter->up(at);
    }

    // Remove the first word; unless its source `follows` by itself, it is woken.
    [[gnu::always_inline]] void take(bool follows = false) {
        const Int now = clock.now;
        if (source && count_ + 2 >= depth && !follows) clock.wake(source->number, now + 1);
        first_ = (first_ + 1) & mask();
        --count_;
        if (count_) {
            first_at_ = times_[first_];
            if (sink) clock.wake(sink->number, std::max(first_at_, now + 1));
        }
        taken_at = now;
        if (kind_.meter) kind_.meter->down(now + 1);
    }

    // Whether word after word can be taken, word `i` in cycle `at(i)`, of which the next shows before the next cycle, where
    // each is followed by another in the next cycle, so that it stays full.
    template <class At>
    bool flows(Int words, At at) const {
        if (count_ != depth || delay_ >= depth) return false;
        for (Int word = 0; word < std::min(words, depth); ++word)
            if (time(word) > (word ? at(word - 1) + 1 : clock.now)) return false;
        return true;
    }

    // That happens.
    template <class At>
    void flow(Int words, At at) {
        for (Int place = 0; place < depth; ++place) {
            const Int word = words + place;
            times_[(first_ + place) & mask()] = word < depth ? time(word) : at(word - depth) + 1 + delay_;
        }
        first_at_ = times_[first_];
        taken_at = at(words - 1);
    }

    void state(State& out) const {
        // At the beginning of a cycle `taken_at` is past, and as good as any; first_at_ is the first of times_, which are in
        // order, and first_ and mask_ say where in the ring they stand.
        out.same(count_);
        Int coming = 0;
        for (; coming < count_ && time(count_ - 1 - coming) > out.now; ++coming) out.same(time(count_ - 1 - coming) - out.now);
        out.same(-1 - coming);
        words(out);
    }

    std::vector<Int> times() const {  // when its words show
        std::vector<Int> found;
        for (Int place = 0; place < count_; ++place) found.push_back(time(place));
        return found;
    }

protected:
    const Kind kind_;
    Int first_ = 0, count_ = 0, mask_ = 3;

    Int mask() const { return mask_; }
    virtual void words(State&) const {}  // say what they are
    virtual void grow() {
        std::vector<Int> twice(2 * times_.size());
        for (Int place = 0; place < count_; ++place) twice[place] = time(place);
        times_ = std::move(twice);
        first_ = 0;
        mask_ = times_.size() - 1;
    }

private:
    const Int delay_;
    Int first_at_ = 0;
    std::vector<Int> times_ = std::vector<Int>(4);  // as many as words_ there are, one more than mask_

    Int time(Int place) const { return times_[(first_ + place) & mask()]; }
};

inline void write(State& out, Int word) { out.same(word); }
template <class Thing>
void write(State& out, const Thing* word) {
    out.thing(word);
}

// A FIFO with words, which `write` writes down.
template <class Word>
class Words : public Fifo {
public:
    using Fifo::Fifo;

    const Word& peek() const { return words_[first_]; }

    void put(Word word, Int cycles = 0) {
        if (count_ > mask_) grow();
        words_[(first_ + count_) & mask()] = word;
        Fifo::put(cycles);
    }

    Word take(bool follows = false) {
        Word word = words_[first_];
        Fifo::take(follows);
        return word;
    }

    std::vector<Word> all() const {
        std::vector<Word> found;
        for (Int place = 0; place < count_; ++place) found.push_back(words_[(first_ + place) & mask()]);
        return found;
    }

protected:
    void words(State& out) const override {
        for (Int place = 0; place < count_ && !kind_.relative; ++place) write(out, words_[(first_ + place) & mask()]);
    }

    void grow() override {
        std::vector<Word> twice(2 * words_.size());
        for (Int place = 0; place < count_; ++place) twice[place] = words_[(first_ + place) & mask()];
        words_ = std::move(twice);
        Fifo::grow();
    }

private:
    std::vector<Word> words_ = std::vector<Word>(4);
};

inline Int Clock::earliest() const {
    if (near(now + 1)) return now + 1;
    const Int far = far_.empty() ? NEVER : far_.begin()->first, end = std::min(std::max(last_, now + 1) + 1, far);
    for (Int cycle = now + 1; cycle < end; ++cycle)
        if (near(cycle)) return cycle;
    return far;
}

inline bool Clock::alone(const Unit* unit) const { return !(awake_ & ~(Set(1) << unit->number)) && earliest() != now + 1; }

inline void Clock::take(Int cycle) {
    awake_ = std::exchange(near(cycle), 0);
    if (!far_.empty() && far_.begin()->first == cycle) {
        awake_ |= far_.begin()->second;
        far_.erase(far_.begin());
    }
}

inline bool Clock::run(Int cycles) {
    Int next = earliest();
    for (stops = false; cycles > 0 && !stops && next < NEVER; --cycles, next = earliest()) {
        take(now = next);
        if (look && (marked || now >= look_at)) {
            look();
            marked = 0;
        }
        for (Set left = awake_; left; left &= left - 1) units[std::countr_zero(left)]->step();
    }
    return next < NEVER;
}

inline void Clock::state(State& out) const {
    auto far = far_.begin();
    const auto at = [&](Int cycle, Set set) {
        out.same(cycle - now);
        out.same(set);
    };
    for (Int cycle = now + 1; cycle <= std::max(last_, now + 1); ++cycle) {
        Set set = near(cycle);
        if (far != far_.end() && far->first == cycle) set |= far++->second;
        if (set) at(cycle, set);
    }
    for (; far != far_.end(); ++far) at(far->first, far->second);
    at(now, awake_);
}

}  // namespace machine
