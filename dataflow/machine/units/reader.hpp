// Readers and writers: requests to bursts, beats to elements.
#pragma once
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "walker.hpp"

namespace machine {

// What takes bursts of several, by number; it knows who may have one.
class Taker : public Unit {
public:
    using Unit::Unit;

    // One has a burst, from the next cycle on.
    void ask(Int side) {
        asking_ |= Int(1) << side;
        wake();
    }

protected:
    Int asking_ = 0;  // at least those that ask
};

// Cuts requests into bursts, which wait for the port.
class Splitter : public Unit {
public:
    Splitter(Clock& clock, Words<Request>& i, Taker& port, const Int& side) : Unit(clock), i_(i), port_(port), side_(side) {
        i.sink = this;
    }

    void state(State& out) override {
        out.same(burst_);
        // Where pages are whole bursts, none ends before its page does once one has begun at a multiple.
        const Int most = clock.sizes.axi_burst_beats;
        out.same(page() % most || place_ % most ? place_ : 0);
        out.time(valid_at_);
        out.toward(left_, clock.sizes.axi_burst_beats - 1, requests_);
    }

    // Nothing is left of the last request.
    bool idle() const override { return !burst_ && clock.now >= valid_at_; }

    // Beats of the burst that is offered, or 0.
    Int offer() const { return clock.now >= valid_at_ ? burst_ : 0; }

    // Beats of the burst that is offered, now or from the next cycle on, or 0.
    Int burst() const { return burst_; }

    void step() override {
        if (idle()) next();
    }

    // The burst goes to the port.
    Int take() {
        const Int beats = burst_;
        left_ -= beats;
        place_ = (place_ + beats) % page();
        offer_next();
        if (!burst_) next();
        return beats;
    }

private:
    Words<Request>& i_;
    Taker& port_;
    const Int& side_;
    Int burst_ = 0, valid_at_ = 0;  // beats of the next burst, and from when on it is offered
    Int left_ = 0, place_ = 0;      // beats of the request; in which of a page it goes on
    Int requests_ = 0;              // so far

    Int page() const { return PAGE_BYTES / clock.sizes.axi_data_bytes; }

    void offer_next() {
        burst_ = std::min({left_, clock.sizes.axi_burst_beats, page() - place_});
        valid_at_ = clock.now + 1;
    }

    // Take a request, if there is one.
    void next() {
        if (!i_.valid()) return;
        const Request request = i_.take();
        place_ = request.place;
        left_ = request.beats;
        ++requests_;
        offer_next();
        port_.ask(side_);
    }
};

// A stream that is read; it steps where beats become elements.
class Reader : public Unit {
public:
    Words<Int> o;  // the chunks, or words
    Fifo beats;
    Meter waits_memory;  // cycles in which it waited for a beat
    const bool* within =
        nullptr;  // of the buffer that takes the chunks: they are of a block for which there is room, and only pass

    // Elements come from `most` at most a chunk; its output is chunks, or `words` of lanes. `port` wakes where there is a
    // burst.
    Reader(Clock& clock, Int most, Walks& i, Taker& port, bool words)
        : Unit(clock),
          o(clock, OUTPUT_WORDS),
          beats(clock, clock.sizes.axi_fifo_beats, 1, {.buffered = true}),
          waits_memory(clock),
          words_(words),
          port_(port),
          chunks_(clock, clock.sizes.axi_fifo_beats, 1, {.buffered = true}),
          requests_(clock, REQUEST_WORDS),
          walker_(clock, most, i, chunks_, requests_, !words),
          splitter_(clock, requests_, port, side),
          room_(clock.sizes.axi_fifo_beats) {
        chunks_.sink = o.source = beats.sink = this;
    }

    void state(State& out) override {
        out.same(room_);
        out.same(halted_at_ >= 0);
        out.time(halted_at_ + 1);
    }

    // From the next cycle on nothing is asked for, nor waited for.
    void halt() {
        halted_at_ = clock.now;
        wake();
    }
    bool halted() const { return halted_at_ >= 0 && clock.now > halted_at_; }

    // From which cycle on every beat that was asked for has come.
    Int settles_at() const { return beats.settles_at(); }

    Int side = 0;  // its number at the port

    // Whether a burst is offered, now or in the next cycle.
    bool asks() const { return splitter_.burst() && splitter_.burst() <= room_; }

    // Beats of the burst that is offered to the port in this cycle, or 0.
    Int offer() const {
        const Int burst = halted() ? 0 : splitter_.offer();
        return room_ - (beats.taken_at == clock.now) >= burst ? burst : 0;
    }

    Int take_burst() {
        const Int count = splitter_.take();
        room_ -= count;
        return count;
    }

    bool idle() const override {
        return room_ - (beats.taken_at == clock.now) == clock.sizes.axi_fifo_beats && walker_.idle() && splitter_.idle() &&
               requests_.empty() && chunks_.empty() && o.empty();
    }

    void step() override {
        if (!chunks_.valid() || halted()) return seen(nullptr);
        const Int chunk = chunks_.peek();
        if (!(chunk & OUTSIDE) && !beats.valid()) return seen(&waits_memory);
        seen(nullptr);
        const bool gives = chunk & END_OF_WORD || !words_;
        if (gives && !o.ready()) return;
        walker_.take();
        if (gives && !passes(chunk)) o.put(chunk);
        if (chunk & END_OF_BEAT && !(chunk & OUTSIDE)) {
            beats.take();
            if (++room_ == splitter_.burst()) port_.ask(side);  // with more, it has asked before
        }
        wake();
    }

private:
    const bool words_;
    Taker& port_;
    Words<Int> chunks_;
    Words<Request> requests_;
    Walker walker_;
    Splitter splitter_;
    Int room_;  // beats
    Int halted_at_ = -1;

    // Whether a chunk only passes the buffer, behind all others.
    bool passes(Int chunk) const {
        if (!within || !*within || chunk & END_OF_BLOCK) return false;
        return !o.count() || (o.count() == 1 && o.valid() && !(o.peek() & END_OF_BLOCK));
    }
};

// Says when all writes of a walk are answered.
class Completion : public Unit {
public:
    Words<Int> ends;                         // of each walk, the number of its last beat
    std::function<void()> complete = [] {};  // called in the cycle in which a walk is complete

    explicit Completion(Clock& clock) : Unit(clock), ends(clock, UNFINISHED_WALKS, 1, {.relative = true}) { ends.sink = this; }

    void state(State& out) override {
        out.same(asked_ - beats_);
        for (Int end : ends.all()) out.same(asked_ - end);
        out.same(answered_.size());
        for (const auto& [cycle, beats] : answered_) {
            out.time(cycle + 1);
            out.same(asked_ - beats);
        }
    }

    Int asked() const { return asked_; }  // beats, so far

    // A burst will be answered in a cycle.
    void answer(Int cycle, Int beats) {
        asked_ += beats;
        answered_.emplace_back(cycle, asked_);
        clock.wake(number, cycle + 1);
    }

    void step() override {
        for (; !answered_.empty() && answered_.front().first < clock.now; answered_.pop_front())
            beats_ = answered_.front().second;
        if (!ends.valid() || beats_ < ends.peek()) return;
        ends.take();
        complete();
        wake();
    }

private:
    std::deque<std::pair<Int, Int>> answered_;  // cycles of answers to come, and the beats that are answered then in all
    Int beats_ = 0, asked_ = 0;
};

// A stream that is written; it steps where elements become beats.
class Writer : public Unit {
public:
    Completion completion;
    Meter waits_memory;

    Writer(Clock& clock, Int most, Walks& i, Fifo& words, Taker& port)
        : Unit(clock),
          completion(clock),
          waits_memory(clock),
          words_(words),
          port_(port),
          chunks_(clock, clock.sizes.writer_beats, 1, {.buffered = true}),
          requests_(clock, REQUEST_WORDS),
          walker_(clock, most, i, chunks_, requests_, false),
          splitter_(clock, requests_, port, side) {
        chunks_.sink = words.sink = this;
        completion.ends.source = this;
    }

    void state(State& out) override {
        out.same(whole_);
        out.time(put_at_);
        out.same(waiting_);
        out.same(made_ - completion.asked());
        out.times(leave_at_);
    }

    Int side = 0;  // its number at the port

    // Whether a burst is offered, now or in the next cycle.
    bool asks() const { return splitter_.burst() && splitter_.burst() <= whole_; }

    // Beats of the burst that is offered to the port in this cycle, or 0.
    Int offer() const {
        const Int burst = splitter_.offer();
        return whole_ - (put_at_ == clock.now) >= burst ? burst : 0;
    }

    // The port takes it; its beats leave from cycle `first` on, `interval` cycles apart.
    Int take_burst(Int first, Int interval) {
        const Int beats = splitter_.take();
        whole_ -= beats;
        waiting_ -= beats;
        for (Int beat = 0; beat < beats; ++beat) leave_at_.push_back(first + beat * interval);
        clock.wake(number, first + 1);
        return beats;
    }

    bool idle() const override {
        return inside() - (put_at_ == clock.now) == 0 && walker_.idle() && splitter_.idle() && requests_.empty() &&
               chunks_.empty() && completion.ends.empty();
    }

    void step() override {
        while (!leave_at_.empty() && leave_at_.front() < clock.now) leave_at_.pop_front();
        if (!chunks_.valid() || !words_.valid()) return seen(nullptr);
        const Int chunk = chunks_.peek();
        const bool pushes = chunk & END_OF_BEAT && !(chunk & OUTSIDE);
        if (pushes && inside() >= clock.sizes.writer_beats) {
            seen(&waits_memory);
            if (!leave_at_.empty()) wake(leave_at_.front() + 1 - clock.now);
            return;
        }
        if (chunk & LAST && !completion.ends.ready()) return seen(&waits_memory);
        seen(nullptr);
        walker_.take();
        if (chunk & END_OF_WORD) words_.take();
        if (pushes) {
            ++whole_;
            ++waiting_;
            ++made_;
            put_at_ = clock.now;
            if (whole_ == splitter_.burst()) port_.ask(side);  // with more, it has asked before
        }
        if (chunk & LAST) completion.ends.put(made_);
        wake();
    }

private:
    Fifo& words_;
    Taker& port_;
    Words<Int> chunks_;
    Words<Request> requests_;
    Walker walker_;
    Splitter splitter_;
    Int whole_ = 0, put_at_ = -1, made_ = 0;
    Int waiting_ = 0;           // beats that the port has not asked for
    std::deque<Int> leave_at_;  // when the others are taken

    // Beats in the FIFO.
    Int inside() const {
        return waiting_ + (leave_at_.end() - std::lower_bound(leave_at_.begin(), leave_at_.end(), clock.now));
    }
};

}  // namespace machine
