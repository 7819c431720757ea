// Exact fast-forward: what happens between two equal states happens again.
#pragma once
#include <unordered_map>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "dispatch.hpp"

namespace machine {

constexpr Int APART_CYCLES = 64;                                 // between two looks, at least; more where states do not return
constexpr Int FEW_APART_CYCLES = 512, MOST_APART_CYCLES = 4096;  // up to the first, landmarks are looked at whenever they come
constexpr Int FEW_LOOKS = 512;  // without a return, after which units hurry, and looks are fewer from the next part on
constexpr std::size_t MOST_STATES = 16384, MOST_LANDED = 8;
constexpr Int LONG_CYCLES = 256,
              SOON_CYCLES = 64;      // parts as long are looked at whenever handed out, and rows so soon behind that
constexpr Int RARE_CYCLES = 24;      // without a row that begins, after which one that does is a landmark, too
constexpr Int UNMARKED_CYCLES = 64;  // without one, after which any cycle is looked at: what moves then has a short period

// Looks at the state now and then, and skips what is the same again; states return only between two commands.
class FastForward {
public:
    FastForward(Clock& clock, const Dispatch& dispatch) : clock_(clock), dispatch_(dispatch) {}

    // At the beginning of a cycle before which a part was handed out, or a row began, or none for a while.
    void look() {
        const Int now = clock_.now;
        bool landmark = clock_.marked & LANDMARK;
        if (clock_.marked) {
            landmark |= now - marked_at_ >= RARE_CYCLES;
            marked_at_ = now;
        }
        if (clock_.marked & HAND_OUT) {
            part_ = now - handed_at_;
            handed_at_ = now;
            if (part_ >= LONG_CYCLES) {
                begin_looking();  // what did not return in one part may do so in the next
            } else if (now < again_at_) {
                return;
            }
        } else if (now <= handed_at_ + (part_ >= LONG_CYCLES ? SOON_CYCLES : LONG_CYCLES)) {
            clock_.look_at = now + UNMARKED_CYCLES;
            return;
        } else if (clock_.marked && now < again_at_ && !(landmark && apart_ < FEW_APART_CYCLES)) {
            clock_.look_at = std::max(now + UNMARKED_CYCLES, again_at_);
            return;
        }
        if (dispatch_.words() != words_) {
            words_ = dispatch_.words();
            lost_ = 0;
            forget();
            begin_looking();
        }
        if (skips()) return;
        if (seen_.size() > MOST_STATES) forget();
        clock_.hurries = ++lost_ >= FEW_LOOKS;
        if (++looks_ % 64 == 0 && apart_ < MOST_APART_CYCLES) apart_ *= 2;
        again_at_ = now + apart_;
        clock_.look_at = std::max(now + UNMARKED_CYCLES, again_at_);
    }

private:
    static constexpr Int ALL = Int(1) << 48;
    struct Visit {
        Int time;
        Numbers values;
    };
    struct Seen {
        Int time;
        Numbers values;             // what had moved on
        Int cycles = 0;             // after how many the phase once returned, if it did
        Numbers before, after;      // what it had moved on then
        std::vector<Visit> landed;  // when it was come to by skipping, the last times
    };
    struct OfPhase {
        std::size_t operator()(const Phase& phase) const { return phase.hash(); }
    };
    Clock& clock_;
    const Dispatch& dispatch_;
    State state_;
    std::unordered_map<Phase, Seen, OfPhase> seen_;
    Int words_ = -1, again_at_ = 0, handed_at_ = 0, part_ = 0, marked_at_ = 0, apart_ = APART_CYCLES, looks_ = 0;
    Int lost_ = 0;  // looks since the last return, or the last command

    // Look at the state, and skip what happens again from it on; whether something does.
    bool skips() {
        write_down();
        const Int time = clock_.now + clock_.skipped;
        auto place = seen_.find(state_.phase);
        if (place == seen_.end()) {
            seen_.emplace(state_.phase.kept(), Seen{time, state_.values});
            return false;
        }
        Seen& seen = place->second;
        Int periods = state_.periods(seen.values, ALL);
        if (periods) {
            seen.cycles = time - seen.time;
            seen.before = seen.values;
            seen.after = state_.values;
        } else if (seen.cycles) {
            periods = state_.periods_as(seen.before, seen.after, ALL);
        }
        if (periods) {
            skip(periods, seen.cycles, seen.before, seen.after);
            land(seen);
            lost_ = 0;
            begin_looking();
        }
        seen.time = clock_.now + clock_.skipped;
        seen.values = state_.values;
        return periods;
    }

    // So many times what happened between two states, in so many cycles.
    void skip(Int periods, Int cycles, const Numbers& before, const Numbers& after) {
        state_.move(before, after, periods);
        clock_.skipped += periods * cycles;
        write_down();
    }

    // A state that was skipped to is one, too: what happens between two of them, and is skipped in between, may happen again.
    void land(Seen& seen) {
        Visit here{clock_.now + clock_.skipped, state_.values};
        for (auto before = seen.landed.rbegin(); before != seen.landed.rend(); ++before) {
            const Int periods = state_.periods(before->values, ALL);
            if (!periods) continue;
            skip(periods, here.time - before->time, before->values, here.values);
            here = {clock_.now + clock_.skipped, state_.values};
            break;
        }
        if (seen.landed.size() == MOST_LANDED) seen.landed.erase(seen.landed.begin());
        seen.landed.push_back(std::move(here));
    }

    void forget() { seen_.clear(); }

    void begin_looking() {
        apart_ = std::min(APART_CYCLES << std::min<Int>(lost_ / FEW_LOOKS, 6), MOST_APART_CYCLES);
        looks_ = 0;
        again_at_ = clock_.look_at = clock_.now + apart_;
    }

    void write_down() {
        state_.begin(clock_.now);
        clock_.state(state_);
        for (Unit* unit : clock_.units) {
            state_.same(unit->counted());
            unit->state(state_);
        }
        for (Fifo* fifo : clock_.fifos) fifo->state(state_);
        for (Meter* meter : clock_.meters) meter->state(state_);
        state_.end();
    }
};

}  // namespace machine
