// The memory port with the memory behind it: once a burst is taken, all of its cycles are known.
#pragma once
#include <bit>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "reader.hpp"

namespace machine {

constexpr Int MEMORY_BURSTS = 64;  // reads that the memory has taken and not served

// A memory that serves bursts in their order, see sim/harness/sat_bench.sv.
struct Memory {
    Int latency_cycles;   // from a burst to its first beat, or from its last beat to the answer, at the earliest, less one
    Int interval_cycles;  // between beats
};

// One direction of a port, with the readers or writers at it.
template <class Side>
class Port : public Taker {
public:
    // Cycles in which the memory takes bursts, and in which beats and answers come and go; for who wants to know them.
    std::map<std::string, std::vector<Int>>* trace = nullptr;

    Port(Clock& clock, const Memory& memory) : Taker(clock), memory_(memory) {}

    // By number; all before the first step.
    void join(Side& side) {
        side.side = sides_.size();
        sides_.push_back(&side);
        answered_.emplace_back();
    }

    void state(State& out) override {
        // sides_ stay as they are; whether one that is asking_ has a burst, itself says.
        for (const auto& answered : answered_) out.times(answered);
        out.count(beats_);
    }

    Int beats() const { return beats_; }  // that have been moved, or will be: all of a burst are known when it is taken

protected:
    const Memory memory_;
    Int beats_ = 0;

    // Take a burst; when it is over.
    virtual Int take(Side& side) = 0;

    // Take that of the lowest number which may have another one under way.
    void take_first() {
        const Int now = clock.now;
        for (Int left = asking_; left; left &= left - 1) {
            const Int number = std::countr_zero(static_cast<std::uint64_t>(left));
            if (!sides_[number]->asks()) asking_ &= ~(Int(1) << number);
            if (!sides_[number]->offer()) continue;
            auto& answered = answered_[number];
            while (!answered.empty() && answered.front() < now) answered.pop_front();
            if (static_cast<Int>(answered.size()) < OUTSTANDING_BURSTS) {
                answered.push_back(take(*sides_[number]));
                if (!sides_[number]->asks()) asking_ &= ~(Int(1) << number);
                return asking_ ? wake() : void();
            }
            wake(answered.front() + 1 - now);
        }
    }

    void note(const char* channel, Int first, Int count = 1) {
        if (!trace) return;
        for (Int beat = 0; beat < count; ++beat) (*trace)[channel].push_back(first + beat * memory_.interval_cycles);
    }

private:
    std::vector<Side*> sides_;
    std::vector<std::deque<Int>> answered_;  // of each, when bursts that are under way end
};

// Takes a read burst a cycle, that of the lowest number.
class ReadPort : public Port<Reader> {
public:
    using Port::Port;

    void state(State& out) override {
        Port::state(out);  // which has beats_
        out.time(address_at_);
        out.time(next_read_);
        // When bursts of served_ end is in Port; when they were taken has an effect of the last alone.
        out.time(served_.empty() ? 0 : served_.back().first + 1);
    }

    void step() override {
        if (clock.now < address_at_) return wake(address_at_ - clock.now);
        take_first();
    }

private:
    Int address_at_ = 0;                      // when the memory takes the last burst
    Int next_read_ = 0;                       // when it can serve a beat
    std::deque<std::pair<Int, Int>> served_;  // of each burst it has: when it took it, and its last beat

    Int take(Reader& reader) override {
        Int at = clock.now + 1;
        while (under_way(at - 1) >= MEMORY_BURSTS) at = served_.front().second + 2;  // when the first of them is over
        address_at_ = at;
        const Int beats = reader.take_burst();
        Int edge = 0;
        for (Int beat = 0; beat < beats; ++beat) {
            edge = std::max(at + memory_.latency_cycles, next_read_);
            next_read_ = edge + memory_.interval_cycles;
            reader.beats.put(edge + 1 - clock.now);
        }
        beats_ += beats;
        note("ar", at);
        note("r", edge + 1 - (beats - 1) * memory_.interval_cycles, beats);
        served_.emplace_back(at, edge);
        return edge + 1;
    }

    // Bursts that the memory has at a clock edge, before it takes one.
    Int under_way(Int edge) {
        while (!served_.empty() && served_.front().second < edge) served_.pop_front();
        return served_.size() - (!served_.empty() && served_.back().first == edge);
    }
};

// Takes a write burst a cycle, that of the lowest number, and their beats in order.
class WritePort : public Port<Writer> {
public:
    using Port::Port;

    void state(State& out) override {
        Port::state(out);  // which has beats_
        out.times(ahead_);
        out.time(next_write_);
        out.time(answer_at_ + 1);
    }

    // Every write is answered.
    bool idle() const override { return clock.now > answer_at_; }

    void step() override {
        while (!ahead_.empty() && ahead_.front() < clock.now) ahead_.pop_front();
        if (static_cast<Int>(ahead_.size()) == WRITES_AHEAD) return wake(ahead_.front() + 1 - clock.now);
        take_first();
    }

private:
    std::deque<Int> ahead_;  // last beats of the bursts whose beats are to come
    Int next_write_ = 0, answer_at_ = 0;

    Int take(Writer& writer) override {
        const Int interval = memory_.interval_cycles, first = std::max(clock.now + 2, next_write_);
        const Int beats = writer.take_burst(first, interval), last = first + (beats - 1) * interval;
        beats_ += beats;
        ahead_.push_back(last);
        next_write_ = last + interval;
        answer_at_ = std::max(last + memory_.latency_cycles, answer_at_) + 1;
        note("aw", clock.now + 1);
        note("w", first, beats);
        note("b", answer_at_);
        writer.completion.answer(answer_at_, beats);
        clock.wake(number, answer_at_ + 1);
        return answer_at_;
    }
};

}  // namespace machine
