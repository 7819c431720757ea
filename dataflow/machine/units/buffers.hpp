// The array's buffers: operands that are loaded and fed, masks of windows, sums that passes read.
#pragma once
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "walker.hpp"

namespace machine {

constexpr Int TOKEN_CYCLES = 3;  // from a block's last chunk until the tile loops know of it
constexpr Int MASK_CYCLES = 3;   // from a tile's last column until the tile loops know of its masks
constexpr Int START_CYCLES = 2;  // from taking a product until its masks begin
constexpr Int READ_CYCLES = 2;   // from a buffer word's address until the word is offered
constexpr Int SHOW_CYCLES = 2;   // from a tile's last word until its sums can be read
constexpr Int UNBOUNDED = 1 << 30;

// Words of sums that each tile of a product takes up in the output buffer.
inline Int tile_words(const Sizes& sizes, const Product& product) {
    return product.vectors ? product.vectors : product.slot_rows * product.slot_columns * sizes.columns;
}

// Takes the chunks of loads, block by block, each when its share is free.
class OperandBuffer : public Unit {
public:
    Fifo full, freed;  // shares

    // `waits_free` counts cycles in which a block waits for a share, of this buffer or another.
    OperandBuffer(Clock& clock, Words<const Load*>& loads, Words<Int>& i, Meter& waits_free)
        : Unit(clock),
          full(clock, UNBOUNDED, TOKEN_CYCLES, {.deep = true}),
          freed(clock, UNBOUNDED),
          loads_(loads),
          i_(i),
          waits_free_(waits_free) {
        loads.sink = i.sink = freed.sink = this;
    }

    void state(State& out) override {
        out.thing(load_);
        out.same(occupied_);
        out.same(before_);
        out.same(begun_);
        out.time(ended_at_);
    }

    const bool& within() const { return begun_; }  // a block

    bool idle() const override { return !load_ && ended_at_ != clock.now && !occupied_ && !before_ && freed.empty(); }

    void step() override {
        while (freed.valid()) {
            freed.take();
            --(before_ ? before_ : occupied_);
        }
        bool waits = false;
        if (!load_) {
            if (loads_.valid() && !before_ && (loads_.peek()->beside || !occupied_)) {
                load_ = loads_.take();
                before_ = occupied_;
                occupied_ = 0;
                wake();
            }
        } else if (i_.valid() && begun_) {
            const Int chunk = i_.take();
            if (chunk & END_OF_BLOCK) {
                begun_ = false;
                full.put();
                if (chunk & LAST) {
                    load_ = nullptr;
                    ended_at_ = clock.now;
                }
            }
            wake();
        } else if (i_.valid() && occupied_ < load_->shares) {
            ++occupied_;
            begun_ = true;
            wake();
        } else {
            waits = i_.valid();
        }
        seen(waits ? &waits_free_ : nullptr);
    }

private:
    Words<const Load*>& loads_;
    Words<Int>& i_;
    Meter& waits_free_;
    const Load* load_ = nullptr;
    Int occupied_ = 0, before_ = 0;  // shares of this load, and of the one before
    bool begun_ = false;             // a block
    Int ended_at_ = -1;
};

// What a feed reads: words; from the first one on until so many shares are free; and sets of masks behind it.
struct Part {
    Int words, words_to_free, frees, frees_masks;
};
inline void write(State& out, const Part& word) {
    for (Int value : {word.words, word.words_to_free, word.frees, word.frees_masks}) out.same(value);
}

// Makes the masks of a product's tiles, a column a cycle, as far ahead as there are sets, see hw.buffers.windows.
class WindowMasks : public Unit {
public:
    Words<const Product*> i;
    Fifo full, freed;

    explicit WindowMasks(Clock& clock)
        : Unit(clock), i(clock, 1, START_CYCLES), full(clock, UNBOUNDED, MASK_CYCLES, {.deep = true}), freed(clock, UNBOUNDED) {
        i.sink = freed.sink = this;
    }

    void state(State& out) override {
        out.same(cycles_);
        out.same(room_);
        out.time(ends_at_);
        out.time(idle_at_);
        out.same(tiles_ > 0);
        out.toward(tiles_, 0, products_);
    }

    bool idle() const override { return !tiles_ && i.empty() && clock.now >= idle_at_; }

    void step() override {
        for (; freed.valid(); ++room_) freed.take();
        if (!tiles_ && i.valid()) {
            const Product& product = *i.take();
            tiles_ = product.outer;
            cycles_ = clock.sizes.columns * product.slot_columns;
            ++products_;
        }
        if (tiles_ && room_ && clock.now >= ends_at_) {
            --room_;
            --tiles_;
            ends_at_ = clock.now + cycles_;
            idle_at_ = ends_at_ + 1;
            full.put(cycles_ - 1);
            wake(cycles_);
        }
    }

private:
    Int products_ = 0, tiles_ = 0, cycles_ = 0;  // so far; to come, of this one; of each
    Int room_ = MASK_SETS, ends_at_ = 0, idle_at_ = 0;
};

// Reads parts, a word a cycle.
class OperandFeed : public Unit {
public:
    Words<Part> i;
    Fifo o;

    // Of an operand whose words are `depth` on the way at most, and `delay` cycles; where free shares are told, and free masks.
    OperandFeed(Clock& clock, Int depth, Int delay, Fifo& freed, Fifo& masks_freed)
        : Unit(clock), i(clock, PART_WORDS), o(clock, depth, delay), freed_(freed), masks_freed_(masks_freed) {
        i.sink = o.source = this;
    }

    void state(State& out) override {
        out.same(frees_.size());
        for (const auto& [words, shares] : frees_) {
            out.same(words);
            out.same(shares);
        }
        out.time(free_at_);
        out.same(done_ > 0);
        if (done_) {
            out.toward(done_, done_ + ahead(), parts_);
        }
    }

    bool idle() const override { return i.empty() && o.empty(); }

    // A word is used. Where the next one only waits for that, it follows at once, as it would when there is room.
    void take() {
        const bool waits = o.count() == o.depth && ahead() > 0;
        o.take(waits);
        if (waits) put(std::max(free_at_, clock.now + 1));
    }

    // As many words as can be taken and followed before something else happens.
    Int ahead() const {
        if (!done_) return 0;
        return (frees_.empty() ? i.peek().words : std::min(i.peek().words, frees_.front().first)) - 1 - done_;
    }

    // Whether so many words can be taken, see `Fifo`.
    template <class At>
    bool flows(Int words, At at) const {
        return words <= ahead() && free_at_ <= clock.now + 1 && o.flows(words, at);
    }

    template <class At>
    void flow(Int words, At at) {
        o.flow(words, at);
        done_ += words;
        free_at_ = at(words - 1) + 2;
    }

    void step() override {
        if (clock.now < free_at_) return wake(free_at_ - clock.now);
        if (!i.valid() || !o.ready()) return;
        const Part part = i.peek();
        if (!done_ && part.frees) frees_.emplace_back(part.words_to_free, part.frees);
        put(clock.now);
        if (!frees_.empty() && frees_.front().first == done_) {
            for (Int share = 0; share < frees_.front().second; ++share) freed_.put();
            frees_.pop_front();
        }
        if (done_ == part.words) {
            done_ = 0;
            ++parts_;
            for (auto& [words, shares] : frees_) words -= part.words;
            i.take();
            if (part.frees_masks) masks_freed_.put();
        }
        while (o.count() < o.depth && ahead() > 0) put(free_at_);
        if (o.count() < o.depth) wake(free_at_ - clock.now);
    }

private:
    Fifo &freed_, &masks_freed_;
    Int parts_ = 0, done_ = 0, free_at_ = 0;  // so far; words of this one; when the next one can be put
    std::deque<std::pair<Int, Int>> frees_;   // words from the part's first one on, after which so many shares are free

    void put(Int cycle) {
        o.put(cycle - clock.now);
        ++done_;
        free_at_ = cycle + 1;
    }
};

// Words of lanes in each tile of a pass over sums.
class TileWords : public Rows<Int> {
public:
    const Pass& pass;

    TileWords(const Pass& pass, Int lanes) : Rows(pass.outer * pass.middle), pass(pass), lanes_(lanes) {}

protected:
    void key(Int number, Key& out) override {
        out.add(number / pass.middle == pass.outer - 1);
        out.add(number % pass.middle == pass.middle - 1);
    }
    Int make(Int number) override {
        const Int columns = std::min(pass.column_tile, pass.columns - number / pass.middle * pass.column_tile);
        const Int rows = std::min(pass.row_tile, pass.rows - number % pass.middle * pass.row_tile);
        return columns * ceiling(rows, lanes_);
    }
    std::vector<Int> written(const Int& words) const override { return {words}; }

private:
    const Int lanes_;
};

// Tiles of sums that are complete, each with as many words.
class FullTiles {
public:
    bool empty() const { return runs_.empty(); }

    // One more, that shows from a cycle on.
    void put(Int words, Int cycle) {
        if (runs_.empty() || runs_.back().words != words) runs_.push_back({words, 0});
        ++runs_.back().tiles;
        ++tiles_;
        show_at_.push_back(cycle);
    }

    // Whether one shows.
    bool valid(Int now) {
        while (!show_at_.empty() && show_at_.front() <= now) show_at_.pop_front();
        return tiles_ > static_cast<Int>(show_at_.size());
    }

    // The words of the first, which goes.
    Int take() {
        const Int words = runs_.front().words;
        if (!--runs_.front().tiles) runs_.pop_front();
        --tiles_;
        ++gone_;
        return words;
    }

    // While none goes, it matters only that there are some.
    void state(State& out) {
        out.times(show_at_);
        out.same(valid(out.now));
        for (const Run& run : runs_) {
            out.same(run.words);
            out.same(&run == &runs_.back() ? -1 : run.tiles);
        }
        out.same(-2);
        if (!runs_.empty()) out.toward(runs_.back().tiles, NEVER, gone_);
        out.toward(tiles_, NEVER, gone_);
    }

private:
    struct Run {
        Int words, tiles;
    };
    std::deque<Run> runs_;  // of tiles with as many words
    Int tiles_ = 0, gone_ = 0;
    std::deque<Int> show_at_;  // of the last ones
};

// A ring of tiles of sums; a step reads a word for the lanes.
class ResultBuffer : public Unit {
public:
    Fifo o;  // words of sums

    // Tiles on their way; passes over sums; where free words are told.
    ResultBuffer(Clock& clock, Words<const Product*>& slots, Words<const Pass*>& i, Words<Int>& room)
        : Unit(clock), o(clock, FEED_WORDS, READ_CYCLES), slots_(slots), i_(i), room_(room) {
        i.sink = o.source = this;
    }

    void state(State& out) override {
        out.times(coming_);
        full_.state(out);
        out.same(rows_ != nullptr);
        out.time(free_at_);
        out.same(words_);
        if (!rows_) return;
        out.thing(&rows_->pass);
        out.toward(done_, words_, tiles_);
        out.row(tile_, *rows_);
    }

    // Nothing is inside or on its way.
    bool idle() const override { return slots_.empty() && full_.empty() && !rows_ && clock.now >= free_at_ && o.empty(); }

    // A tile will be complete.
    void expect(Int cycle) {
        clock.wake(number, cycle);
        coming_.push_back(cycle);
    }

    void step() override {
        if (!coming_.empty() && coming_.front() == clock.now) {
            coming_.pop_front();
            full_.put(tile_words(clock.sizes, *slots_.take()), clock.now + SHOW_CYCLES);
            wake(SHOW_CYCLES);
        }
        if (!rows_) {
            if (i_.valid() && clock.now >= free_at_) {
                rows_ = std::make_unique<TileWords>(*i_.take(), clock.sizes.vpu_lanes);
                tile_ = done_ = 0;
                words_ = rows_->content(0);
                wake();
            }
        } else if (full_.valid(clock.now) && o.ready()) {
            read();
            wake();
        }
    }

private:
    Words<const Product*>& slots_;
    Words<const Pass*>& i_;
    Words<Int>& room_;
    FullTiles full_;
    std::deque<Int> coming_;  // when tiles will be complete
    std::unique_ptr<TileWords> rows_;
    Int tile_ = 0, tiles_ = 0, done_ = 0, words_ = 0,
        free_at_ = 0;  // of the pass; so far; words of the tile, and how many it has

    void read() {
        o.put();
        if (++done_ < words_) return;
        done_ = 0;
        room_.put(full_.take());
        ++tiles_;
        if (++tile_ == rows_->total) {
            rows_.reset();
            free_at_ = clock.now + 1;
        } else {
            words_ = rows_->content(tile_);
        }
    }
};

}  // namespace machine
