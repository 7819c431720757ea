// Time: units step in the cycles in which they are awake, and meet in FIFOs.
#pragma once
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include "isa.hpp"
#include "state.hpp"

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
    Int marked = 0;              // by units, where the state may be one that was there before
    Int look_at = 0;             // the cycle from which on `look` is called where none is marked
    bool stops = false;          // set within a cycle: `run` returns behind it
    std::function<void()> look;  // called at the beginning of a cycle after one that was marked

    explicit Clock(const Sizes& sizes) : sizes(sizes) {}
    Clock(const Clock&) = delete;

    void wake(Unit* unit, Int cycle);  // step it in `cycle`, which is to come

    // Whether no other unit steps in this cycle, or is to in the next one.
    bool alone(const Unit* unit) const {
        return next_.empty() && std::all_of(awake_.begin(), awake_.end(), [=](Unit* one) { return one == unit; });
    }

    Int earliest() const;  // the first cycle behind the next one in which a unit is to step, or NEVER

    // Step until nothing is awake, a cycle stops, or so many are stepped; whether something is left to do.
    bool run(Int cycles);

    void state(State& out) const;  // who wakes when

private:
    static constexpr Int NEAR = 1024;  // cycles ahead in a ring; what is further is in a map
    std::vector<Unit*> awake_, next_;
    std::array<std::vector<Unit*>, NEAR> near_;
    std::array<std::uint64_t, NEAR / 64> occupied_{};
    std::map<Int, std::vector<Unit*>> far_;
    Int pending_ = 0;  // cycles to come in which a unit wakes, but for the next one

    void take(Int cycle);
    template <class Visit>
    void later(Visit visit) const;
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
    Int due = -1;

    explicit Unit(Clock& clock) : clock(clock), number(static_cast<Int>(clock.units.size())) { clock.units.push_back(this); }
    Unit(const Unit&) = delete;
    virtual ~Unit() = default;

    // What happens in this cycle; who does something wakes itself for the next.
    virtual void step() = 0;

    // Say all that decides what it does from this cycle on, at the beginning of the cycle.
    virtual void state(State& out) = 0;

    // Nothing is inside.
    virtual bool idle() const { return true; }

    void wake(Int cycles = 1) { clock.wake(this, clock.now + cycles); }

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

    // Nothing is inside at all.
    bool empty() const { return taken_at != clock.now && (!count_ || first_at_ - delay_ >= clock.now); }

    // From which cycle on the last word was put in an earlier one.
    Int settles_at() const { return count_ ? time(count_ - 1) - delay_ + 1 : 0; }

    // Add a word, now or so many cycles from now.
    void put(Int cycles = 0) {
        const Int at = clock.now + cycles + delay_;
        if (!count_) first_at_ = at;
        if (sink && (kind_.deep || !count_)) clock.wake(sink, at);
        if (count_ == static_cast<Int>(times_.size())) grow();
        times_[(first_ + count_) & mask()] = at;
        ++count_;
        if (kind_.meter) kind_.meter->up(at);
    }

    // Remove the first word.
    void take() {
        const Int now = clock.now;
        if (source && count_ + 2 >= depth) clock.wake(source, now + 1);
        first_ = (first_ + 1) & mask();
        --count_;
        if (count_) {
            first_at_ = times_[first_];
            if (sink) clock.wake(sink, std::max(first_at_, now + 1));
        }
        taken_at = now;
        if (kind_.meter) kind_.meter->down(now + 1);
    }

    void state(State& out) const {
        // At the beginning of a cycle `taken_at` is past, and as good as any; first_at_ is the first of times_, which are in
        // order, and first_ says where in the ring they stand.
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
    Int first_ = 0, count_ = 0;

    Int mask() const { return static_cast<Int>(times_.size()) - 1; }
    virtual void words(State&) const {}  // say what they are
    virtual void grow() {
        std::vector<Int> twice(2 * times_.size());
        for (Int place = 0; place < count_; ++place) twice[place] = time(place);
        times_ = std::move(twice);
        first_ = 0;
    }

private:
    const Int delay_;
    Int first_at_ = 0;
    std::vector<Int> times_ = std::vector<Int>(4);

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
        if (count_ == static_cast<Int>(words_.size())) grow();
        words_[(first_ + count_) & mask()] = word;
        Fifo::put(cycles);
    }

    Word take() {
        Word word = words_[first_];
        Fifo::take();
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

inline void Clock::wake(Unit* unit, Int cycle) {
    if (cycle <= now) throw std::logic_error("a unit is to wake in a cycle that is past");
    if (cycle == now + 1) {
        if (unit->due != cycle) {
            unit->due = cycle;
            next_.push_back(unit);
        }
        return;
    }
    std::vector<Unit*>& others = cycle - now < NEAR ? near_[cycle % NEAR] : far_[cycle];
    if (others.empty()) {
        ++pending_;
        if (cycle - now < NEAR) occupied_[cycle % NEAR / 64] |= std::uint64_t(1) << cycle % 64;
    }
    if (std::find(others.begin(), others.end(), unit) == others.end()) others.push_back(unit);
}

// Cycles behind the next one in which units wake, in order; one may come twice, from near and from far.
template <class Visit>
void Clock::later(Visit visit) const {
    auto far = far_.begin();
    const Int begin = floor_modulo(now, NEAR);
    for (Int word = 0; word <= NEAR / 64; ++word) {
        const Int base = (begin / 64 + word) % (NEAR / 64);
        std::uint64_t bits = occupied_[base];
        // The ring's first word is looked at twice: its later bits first, its earlier ones in the end.
        const std::uint64_t from = ~std::uint64_t(0) << begin % 64;
        if (word == 0) bits &= from;
        if (word == NEAR / 64) bits &= ~from;
        for (; bits; bits &= bits - 1) {
            const Int place = base * 64 + __builtin_ctzll(bits);
            const Int cycle = now + floor_modulo(place - begin, NEAR);
            for (; far != far_.end() && far->first <= cycle; ++far) visit(far->first, far->second);
            visit(cycle, near_[place]);
        }
    }
    for (; far != far_.end(); ++far) visit(far->first, far->second);
}

inline Int Clock::earliest() const {
    Int found = NEVER;
    later([&](Int cycle, const std::vector<Unit*>&) { found = std::min(found, cycle); });
    return found;
}

inline void Clock::take(Int cycle) {
    const auto join = [&](std::vector<Unit*>& others) {
        for (Unit* unit : others)
            if (unit->due != cycle) {
                unit->due = cycle;
                awake_.push_back(unit);
            }
        others.clear();
        --pending_;
    };
    if (!near_[cycle % NEAR].empty()) {
        join(near_[cycle % NEAR]);
        occupied_[cycle % NEAR / 64] &= ~(std::uint64_t(1) << cycle % 64);
    }
    if (!far_.empty() && far_.begin()->first == cycle) {
        join(far_.begin()->second);
        far_.erase(far_.begin());
    }
}

inline bool Clock::run(Int cycles) {
    for (stops = false; cycles > 0 && !stops && (pending_ || !next_.empty()); --cycles) {
        now = next_.empty() ? earliest() : now + 1;
        std::swap(awake_, next_);
        next_.clear();
        take(now);
        if (look && (marked || now >= look_at)) {
            look();
            marked = 0;
        }
        for (Unit* unit : awake_) unit->step();
    }
    return pending_ || !next_.empty();
}

inline void Clock::state(State& out) const {
    std::vector<Int> numbers;
    const auto write_numbers = [&](const std::vector<Unit*>& units) {
        numbers.clear();
        for (const Unit* unit : units) numbers.push_back(unit->number);
        std::sort(numbers.begin(), numbers.end());
        for (Int number : numbers) out.same(number);
        out.same(-1);
    };
    later([&](Int cycle, const std::vector<Unit*>& units) {
        out.same(cycle - now);
        write_numbers(units);
    });
    out.same(-2);
    write_numbers(awake_);
}

}  // namespace machine
