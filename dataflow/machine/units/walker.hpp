// The walker: chunks of a walk, one a cycle.
#pragma once
#include <memory>
#include <vector>

#include "clock.hpp"

namespace machine {

// A walk that its unit is to begin when as many results have been stored since the last synchronisation.
struct Issued {
    const Walk* walk;
    Int after;
};
inline void write(State& out, const Issued& word) {
    out.thing(word.walk);
    out.same(word.after);
}

// Results that have been stored since the last synchronisation, as commands that wait for them see it.
class Stored {
public:
    explicit Stored(Clock& clock) : clock_(clock) {}

    std::vector<Fifo*> waiting;

    // One more, from the next cycle on.
    void add() {
        ++count_;
        at_ = clock_.now;
        for (Fifo* queue : waiting)
            if (queue->sink) clock_.wake(queue->sink->number, clock_.now + 1);
    }
    void forget() { count_ = 0; }
    bool reaches(Int count) const { return count_ - (at_ == clock_.now) >= count; }

    void state(State& out) const {
        out.same(count_);
        out.time(at_);
    }

private:
    Clock& clock_;
    Int count_ = 0, at_ = -1;
};

// A FIFO of walks, each offered when as many results are stored.
class Walks : public Words<Issued> {
public:
    Walks(Clock& clock, Int depth, Stored& stored) : Words(clock, depth), stored_(stored) { stored.waiting.push_back(this); }

    bool valid() const { return Fifo::valid() && stored_.reaches(peek().after); }

private:
    const Stored& stored_;
};

// Puts a walk's chunks and requests into their FIFOs.
class Walker : public Unit {
public:
    // `most` elements a chunk at most; whether who takes the chunks looks at the `ends` of blocks.
    Walker(Clock& clock, Int most, Walks& i, Words<Int>& o, Words<Request>& requests, bool ends)
        : Unit(clock), i_(i), o_(o), requests_(requests), most_(most), ends_(ends) {
        i.sink = o.source = requests.source = this;
    }

    void state(State& out) override {
        out.time(free_at_);
        out.same(rows_ != nullptr);
        if (!rows_) return;
        out.thing(rows_.get());
        out.same(chunk_);
        out.row(number_, *rows_);  // which says what row_ is
    }

    bool idle() const override { return !rows_ && clock.now >= free_at_; }

    void step() override {
        if (rows_) {
            offer();
        } else if (i_.valid() && idle()) {
            rows_ = clock.walks.of(clock.sizes, *i_.take().walk, most_, ends_);
            number_ = 0;
            begin();
            wake(2);
            free_at_ = clock.now + 2;  // checked first
        }
    }

    // The first chunk goes to its sink. Where the next one only waits for that, it follows at once, as it would in the next
    // cycle.
    void take() {
        const bool waits = rows_ && !clock.awake(number) && o_.count() + 2 >= o_.depth && clock.now + 1 >= free_at_;
        o_.take(waits);
        if (!waits) return;
        if (o_.ready_next() && number_ + 1 < rows_->total && (!(row_->chunks[chunk_] & ASKS) || requests_.ready())) {
            put(1);
        } else {
            wake();
        }
    }

private:
    Walks& i_;
    Words<Int>& o_;
    Words<Request>& requests_;
    const Int most_;
    const bool ends_;
    std::shared_ptr<WalkRows> rows_;
    const WalkRow* row_ = nullptr;
    Int number_ = 0, chunk_ = 0, free_at_ = 0;

    void begin() {
        chunk_ = 0;
        clock.marked |= ROW;
        row_ = &rows_->content(number_);
        if (rows_->landmark(number_)) clock.marked |= LANDMARK;
    }

    void offer() {
        const Int chunk = row_->chunks[chunk_];
        if (clock.now < free_at_ || !o_.ready() || (chunk & ASKS && !requests_.ready())) return;
        put(0);
        Int ahead = 1;  // what needs no request follows at once, as it would cycle after cycle, as far as there is room
        while (rows_ && !(row_->chunks[chunk_] & ASKS) && o_.count() < o_.depth - 1) put(ahead++);
        free_at_ = clock.now + ahead;
        if (!rows_ || ahead > 1 || o_.ready_next()) wake(ahead);
    }

    // The next chunk, so many cycles from now.
    void put(Int cycles) {
        const Int chunk = row_->chunks[chunk_];
        o_.put(chunk, cycles);
        if (chunk & ASKS) requests_.put(row_->requests[chunk_], cycles);
        if (++chunk_ < static_cast<Int>(row_->chunks.size())) return;
        if (++number_ < rows_->total) return begin();
        rows_.reset();
    }
};

}  // namespace machine
