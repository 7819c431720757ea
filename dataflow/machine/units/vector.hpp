// The vector unit: words of passes, and of updates with their packed copies.
#pragma once
#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "clock.hpp"

namespace machine {

constexpr Int PRIMED_CYCLES = 2;  // from the last word of held factors taken until they can be used

// When held factors take words, and when they can be used, see hw.engines.held_factors.
class HeldFactors {
public:
    HeldFactors(const Pass& pass, Int lanes)
        : fill_(pass.held * (pass.takes_pairs + pass.takes_third)),
          serves_(pass.options & PassOption::BY_ROW
                      ? pass.held_block * lanes * (pass.options & PassOption::ACROSS ? pass.terms : 1)
                      : pass.words),
          missing_(fill_),
          left_(serves_) {}

    Int missing() const { return missing_; }

    void take(Int now) {  // a word comes
        --missing_;
        at_ = now + PRIMED_CYCLES;
    }

    bool ready(Int now) const { return !missing_ && now >= at_; }

    void use() {  // a word of the pass does
        if (--left_) return;
        missing_ = fill_;
        left_ = serves_;
        ++fills_;
    }

    void state(State& out) {
        out.same(missing_);
        out.time(at_);
        out.toward(left_, 0, fills_);
    }

private:
    const Int fill_, serves_;
    Int missing_, left_, at_ = 0, fills_ = 0;  // fills_: how often they have been used up
};

// A pipeline that holds while its last word is offered and not taken.
class Pipeline {
public:
    explicit Pipeline(Int latency) : latency_(latency) {}

    void begin(Int latency) { *this = Pipeline(latency); }
    bool empty() const { return words_.empty(); }
    bool offers() const { return !words_.empty() && words_.front() + latency_ == cycles_; }

    // A cycle in which it does not hold.
    void advance(bool gives, bool takes) {
        if (gives) words_.pop_front();
        if (takes) words_.push_back(cycles_);
        ++cycles_;
    }

    void state(State& out) const {
        out.same(latency_);
        out.same(words_.size());
        for (Int word : words_) out.same(word - cycles_);
    }

private:
    Int latency_;
    std::deque<Int> words_;
    Int cycles_ = 0;  // in which it did not hold
};

// A reduction engine: N words out behind every M in, see hw.engines.sore.
class Packer {
public:
    bool ready(Int m, bool room) const { return index_ + 1 != m || !left_ || (left_ == 1 && room); }
    Int left() const { return left_; }

    void step(Int n, Int m, bool takes, bool gives) {
        left_ -= gives;
        if (takes && ++index_ == m) {
            index_ = 0;
            left_ = n;
        }
    }

    void state(State& out) const {
        out.same(index_);
        out.same(left_);
    }

private:
    Int index_ = 0, left_ = 0;
};

// A reduction unit, see hw.engines.reductions: terms a word a cycle, then results a word a cycle.
//
// Over lanes it takes terms again as soon as the last row is read, for which the results of the rows before must be given.
class Reductions {
public:
    explicit Reductions(const Sizes& sizes) : lanes_(sizes.vpu_lanes), across_cycles_(sizes.across_cycles) {}

    // Reductions of another pass; the last one's results have been given.
    void begin(const Pass& pass) { pass_ = &pass; }

    void state(State& out) {
        out.thing(pass_);
        out.same(left_);
        out.time(at_);
        out.same(reads_at_ >= 0);
        out.time(reads_at_);
        out.same(gives_at_ < NEVER);
        out.time(gives_at_ == NEVER ? 0 : gives_at_);
        if (pass_) out.toward(taken_, pass_->groups * pass_->terms, reduced_);
    }

    bool takes(Int now) const { return !left_ && reads_at_ < 0 && now >= at_; }
    bool offers(Int now) const { return across() ? now >= gives_at_ : left_ > 0 && now >= at_; }
    Int at() const { return at_; }
    Int gives_at() const { return gives_at_; }

    // A word of terms.
    void take(Int now) {
        if (++taken_ < pass_->groups * pass_->terms) return;
        taken_ = 0;
        if (!pass_->results) return;  // it goes on in the next pass
        ++reduced_;
        if (across()) {
            reads_at_ = now + pass_->result_cycles - 1;
            if (gives_at_ == NEVER) read(reads_at_);
        } else {
            left_ = pass_->groups;
            at_ = now + pass_->result_cycles;
        }
    }

    // A result.
    void give(Int now) {
        if (across()) {
            gives_at_ = NEVER;
            if (reads_at_ >= 0) read(std::max(reads_at_, now + 1));
        } else {
            --left_;
            at_ = now + 1;
        }
    }

private:
    const Int lanes_, across_cycles_;
    const Pass* pass_ = nullptr;
    Int taken_ = 0, reduced_ = 0;  // words of terms; reductions, so far
    Int left_ = 0, at_ = 0;        // results that are due; when it gives or takes again
    Int reads_at_ = -1;            // rows, as soon as there is room
    Int gives_at_ = NEVER;         // what came of those that were read

    bool across() const { return pass_ && pass_->options & PassOption::ACROSS; }

    // Rows are read from a cycle on.
    void read(Int now) {
        reads_at_ = -1;
        at_ = now + lanes_;
        gives_at_ = now + across_cycles_;
    }
};

// A pass or an update.
struct Work {
    const Pass* pass;
    const Update* update;
};
inline void write(State& out, const Work& work) {
    out.thing(work.pass);
    out.thing(work.update);
}

// See hw.accelerator.vector_unit.
class VectorUnit : public Unit {
public:
    // Cycles in which a pass or an update is inside, or a word of one on its way to a writer; in which it waits.
    Meter busy, waits_operands, waits_room;
    std::array<Fifo, 4> sinks;  // words for the writers

    // Passes and updates; words of sums; words from memory, of each source, null where they are none of its own.
    VectorUnit(Clock& clock, Words<Work>& i, Fifo& sums, std::vector<Fifo*> inputs)
        : Unit(clock),
          busy(clock),
          waits_operands(clock),
          waits_room(clock),
          sinks{sink(), sink(), sink(), sink()},
          i_(i),
          sums_(sums),
          inputs_(std::move(inputs)),
          pipeline_(1),
          reductions_(clock.sizes) {
        for (Fifo& sink : sinks) sink.source = this;
        i.sink = sums.sink = this;
        for (Fifo* input : inputs_)
            if (input) input->sink = this;
    }

    void state(State& out) override {
        write(out, work_);  // which says what operands_ are
        out.time(free_at_);
        out.same(ends_);
        out.toward(to_come_, 0, works_);
        out.same(to_come_ > 0);
        for (Int& left : left_) {
            out.same(left > 0);
            out.toward(left, 0, works_);
        }
        pipeline_.state(out);
        reductions_.state(out);
        if (factors_) factors_->state(out);
        forward_.state(out);
        backward_.state(out);
        out.same(held_);
        for (bool forked : forked_) out.same(forked);
        const Int whole = turned_out_ / clock.sizes.turned_block_words * clock.sizes.turned_block_words;
        out.same(turned_in_ - whole);
        out.same(turned_out_ - whole);
    }

    bool idle() const override {
        return !working() && clock.now >= free_at_ &&
               std::all_of(sinks.begin(), sinks.end(), [](const Fifo& one) { return one.empty(); });
    }

    void step() override {
        const bool room = std::all_of(sinks.begin(), sinks.end(), [](const Fifo& one) { return one.ready(); });
        Meter* waits = room || (!working() && clock.now >= free_at_) ? nullptr : &waits_room;
        if (clock.now < free_at_) {
            if (ends_) {
                ends_ = false;
                busy.down(clock.now + 1);
            }
            wake();
        } else if (!working()) {
            if (i_.valid()) {
                begin(i_.take());
                free_at_ = clock.now + 2;  // checked first
                wake();
            }
        } else {
            const Int to_come = to_come_, left = all_left();
            held_ = false;
            fill();
            const bool moved = work_.update ? update(*work_.update) : pass(*work_.pass);
            if (room && to_come && to_come == to_come_ && !held_) waits = &waits_operands;
            if (!all_left()) {
                work_ = {};
                free_at_ = clock.now + 2;
                ends_ = true;
            }
            if (moved || left != all_left()) wake();
        }
        seen(waits);
    }

private:
    static constexpr Int SINKS = 4;
    Words<Work>& i_;
    Fifo& sums_;
    const std::vector<Fifo*> inputs_;
    Work work_{};
    Int free_at_ = 0, works_ = 0;  // works_: so far
    bool ends_ = false, held_ = false;
    std::vector<Fifo*> operands_;
    std::optional<HeldFactors> factors_;
    Pipeline pipeline_;
    Int to_come_ = 0, left_[SINKS] = {};  // words of operands; words for each sink
    Reductions reductions_;
    Packer forward_, backward_;
    bool forked_[3] = {};                 // an updated word has gone to memory, to the packer, to be turned
    Int turned_in_ = 0, turned_out_ = 0;  // words into and out of the transposer

    Fifo sink() { return {clock, SINK_WORDS, 1, Fifo::Kind{.meter = &busy}}; }
    bool working() const { return work_.pass || work_.update; }
    Int all_left() const { return left_[0] + left_[1] + left_[2] + left_[3]; }

    void begin(const Work& work) {
        busy.up(clock.now + 1);
        ++works_;
        work_ = work;
        factors_.reset();
        std::fill(left_, left_ + SINKS, 0);
        if (work.update) {
            const Update& update = *work.update;
            const Int packed = update.words / update.m * update.n;
            pipeline_.begin(clock.sizes.wuve_latency_cycles);
            operands_ = {inputs_[Source::ELEMENTS], inputs_[Source::FACTORS]};
            to_come_ = left_[Sink::RESULTS] = update.words;
            left_[Sink::COPY] = update.copies & UpdateCopy::DENSE ? update.words : 0;
            left_[Sink::FORWARD] = update.copies & UpdateCopy::FORWARD ? packed : 0;
            left_[Sink::BACKWARD] = update.copies & UpdateCopy::BACKWARD ? packed : 0;
            return;
        }
        const Pass& pass = *work.pass;
        to_come_ = left_[Sink::RESULTS] = pass.words;
        if (pass.groups) {
            left_[Sink::RESULTS] = pass.results + (pass.options & PassOption::BESIDE ? pass.words : 0);
            left_[Sink::COPY] = pass.options & PassOption::PLACES ? pass.results : 0;
            reductions_.begin(pass);
        }
        pipeline_.begin(clock.sizes.vpu_latency_cycles);
        operands_ = {pass.options & PassOption::FROM_SUMS ? &sums_ : inputs_[Source::ELEMENTS]};
        if (pass.takes_pairs || pass.takes_third) {
            if (pass.held) {
                factors_.emplace(pass, clock.sizes.vpu_lanes);
            } else {
                operands_.push_back(inputs_[Source::FACTORS]);
            }
        }
        if (pass.takes_residual) operands_.push_back(inputs_[Source::RESIDUAL]);
        if (pass.steps & PassStep::GATE) operands_.push_back(inputs_[Source::GATE]);
    }

    // Take a word of each operand, if all have one.
    bool take() {
        if (!to_come_ || !std::all_of(operands_.begin(), operands_.end(), [](const Fifo* one) { return one->valid(); }))
            return false;
        if (factors_) {
            if (!factors_->ready(clock.now)) return false;
            factors_->use();
        }
        for (Fifo* operand : operands_) operand->take();
        --to_come_;
        return true;
    }

    // Take a word of factors that are missing.
    void fill() {
        if (!factors_ || !factors_->missing() || !to_come_ || !inputs_[Source::FACTORS]->valid()) return;
        inputs_[Source::FACTORS]->take();
        factors_->take(clock.now);
        wake(factors_->missing() ? 1 : PRIMED_CYCLES);
    }

    void give(Int sink) {
        sinks[sink].put();
        --left_[sink];
    }

    // A cycle of a pass; whether anything moved.
    bool pass(const Pass& pass) {
        if (pass.groups) return reduce(pass);
        const bool offers = pipeline_.offers();
        if (offers) {
            if (!sinks[Sink::RESULTS].ready()) return false;
            give(Sink::RESULTS);
        }
        pipeline_.advance(offers, take());
        return !pipeline_.empty() || offers;
    }

    // A cycle of a pass whose results are terms, and give places, or leave themselves, too; whether anything moved.
    bool reduce(const Pass& pass) {
        const bool places = pass.options & PassOption::PLACES, beside = pass.options & PassOption::BESIDE,
                   offers = pipeline_.offers();
        const bool room = sinks[Sink::RESULTS].ready();
        const bool gives = reductions_.offers(clock.now) && room && (!places || sinks[Sink::COPY].ready());
        const bool takes = offers && reductions_.takes(clock.now) && (!beside || room);
        if (gives) {
            give(Sink::RESULTS);
            if (places) give(Sink::COPY);
            reductions_.give(clock.now);
        }
        if (takes) {
            reductions_.take(clock.now);
            if (beside) give(Sink::RESULTS);
        }
        held_ = offers && !takes;
        if (!held_) pipeline_.advance(takes, take());
        for (Int at : {reductions_.at(), reductions_.gives_at()})
            if (clock.now < at && at < NEVER) wake(at - clock.now);
        return !pipeline_.empty() && !held_;
    }

    // A cycle of an update; whether anything moved.
    bool update(const Update& update) {
        const bool dense = update.copies & UpdateCopy::DENSE, packed = update.copies & UpdateCopy::FORWARD,
                   turns = update.copies & UpdateCopy::BACKWARD;
        const bool room_forward = sinks[Sink::FORWARD].ready(), room_backward = sinks[Sink::BACKWARD].ready();
        const Int block = clock.sizes.turned_block_words, blocks = turned_in_ / block - turned_out_ / block;
        const bool ready[3] = {sinks[Sink::RESULTS].ready() && (!dense || sinks[Sink::COPY].ready()),
                               !packed || forward_.ready(update.m, room_forward), !turns || blocks != 2};
        const bool offers = pipeline_.offers();
        bool goes[3], gives = true, moves = false;
        for (int way = 0; way < 3; ++way) {
            goes[way] = offers && ready[way] && !forked_[way];
            forked_[way] |= goes[way];
            gives &= forked_[way];
            moves |= goes[way];
        }
        if (goes[0]) {
            give(Sink::RESULTS);
            if (dense) give(Sink::COPY);
        }
        const bool turned = blocks && backward_.ready(update.m, room_backward);
        moves |= turned;
        moves |= pack(Sink::FORWARD, forward_, update, goes[1] && packed, room_forward);
        moves |= pack(Sink::BACKWARD, backward_, update, turned, room_backward);
        turned_in_ += goes[2] && turns;
        turned_out_ += turned;
        if (gives || !offers) pipeline_.advance(gives, take());
        if (gives) std::fill(forked_, forked_ + 3, false);
        return moves || ((gives || !offers) && !pipeline_.empty());
    }

    bool pack(Int sink, Packer& packer, const Update& update, bool takes, bool room) {
        const bool packs = packer.left() && room;
        packer.step(update.n, update.m, takes, packs);
        if (packs) give(sink);
        return packs;
    }
};

}  // namespace machine
