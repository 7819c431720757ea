// The array: blocks, parts, steps and tiles.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "buffers.hpp"
#include "stationary.hpp"

namespace machine {

constexpr Int MOST_STEPS = 960;  // that are taken at once

// What the tile loops do with a part of a tile.
struct Block {
    Int needs[3];   // blocks of weights, blocks of activations and masks that it is the first to use
    Part parts[2];  // for the feeds
    bool begins;    // whether it is the first of its tile
    bool starts;    // whether the sequencer is told
};

// The parts of a product's tiles in their order.
class Blocks : public Rows<Block> {
public:
    const Product& product;

    Blocks(const Sizes& sizes, const Product& product)
        : Rows(product.outer * product.middle * product.inner),
          product(product),
          sizes_(sizes),
          cuts_(product.taps_y != 1 || product.taps_x != 1) {}

protected:
    void key(Int number, Key& out) override {
        const auto [outer, middle, inner] = places(number);
        for (bool is :
             {inner == 0, inner == product.inner - 1, middle == 0, middle == product.middle - 1, number == 0, outer == 0})
            out.add(is);
        for (Int place : {Int(0), product.outer - 2, product.outer - product.ahead - 1, product.behind - 1})
            out.add(outer > place);
    }

    Block make(Int number) override {
        const auto [outer, middle, inner] = places(number);
        const bool last_middle = middle + 1 == product.middle, last_outer = outer + 1 == product.outer;
        const Int rounds = std::min(product.part_rounds, product.rounds - inner * product.part_rounds);
        Block block{{0, 0, 0},
                    {weights(rounds), activations(rounds, number + 1 == total)},
                    inner == 0,
                    inner == 0 && !(product.vectors && number)};
        set_needs(block, outer, middle);
        block.parts[0].frees = last_outer || !product.weights_held;
        block.parts[1].frees = last_middle || !product.activations_held;
        if (cuts_ && last_middle) {
            block.parts[1].frees = last_outer ? std::min(product.behind + 1, product.outer) : outer >= product.behind;
            block.parts[1].frees_masks = 1;
        }
        return block;
    }

    std::vector<Int> written(const Block& block) const override {
        std::vector<Int> numbers(block.needs, block.needs + 3);
        for (const Part& part : block.parts)
            numbers.insert(numbers.end(), {part.words, part.words_to_free, part.frees, part.frees_masks});
        numbers.insert(numbers.end(), {block.begins, block.starts});
        return numbers;
    }

private:
    struct Places {
        Int outer, middle, inner;
    };
    const Sizes& sizes_;
    const bool cuts_;

    Places places(Int number) const {
        const Int tile = number / product.inner;
        return {tile / product.middle, tile % product.middle, number % product.inner};
    }

    void set_needs(Block& block, Int outer, Int middle) const {
        block.needs[0] = outer == 0 || !product.weights_held;
        if (!cuts_) {
            block.needs[1] = middle == 0 || !product.activations_held;
        } else if (!middle && block.begins) {
            block.needs[1] = outer ? outer + product.ahead < product.outer : std::min(product.ahead + 1, product.outer);
            block.needs[2] = 1;
        }
    }

    // Words of a part, and after how many its share is free.
    Part weights(Int rounds) const {
        const Int words = product.vectors ? ceiling(rounds, sizes_.columns) * sizes_.columns
                                          : rounds * product.slot_columns * product.slot_rows;
        return {words, words, 0, 0};
    }

    // `flushes`: the array is emptied behind it.
    Part activations(Int rounds, bool flushes) const {
        if (product.vectors)
            return {groups(rounds) + flushes * sizes_.stationary_skew_steps, groups(rounds) + sizes_.stationary_skew_steps, 0,
                    0};
        const Int words = product.slot_columns == 1 ? ceiling(rounds, product.group_rounds) : rounds * product.slot_columns;
        return {words, words, 0, 0};
    }

    Int groups(Int rounds) const {
        return ceiling(rounds, sizes_.columns) * std::max(product.vectors, sizes_.stationary_period_steps);
    }
};

// A product's tile loops, see hw.buffers.feed.
class TileLoops : public Unit {
public:
    WindowMasks masks;
    OperandFeed weights, activations;
    Meter busy, waits_operands, waits_room;
    Words<const Product*> tiles, slots;  // products of the tiles, for the sequencer and until the tile is in the output buffer
    Words<Int> room;                     // words of each tile of the output buffer that became free

    TileLoops(Clock& clock, Words<const Product*>& i, OperandBuffer& weight_buffer, OperandBuffer& activation_buffer)
        : Unit(clock),
          masks(clock),
          weights(clock, clock.sizes.weight_feed_words, clock.sizes.weight_read_cycles, weight_buffer.freed, masks.freed),
          activations(clock, clock.sizes.activation_feed_words, clock.sizes.activation_read_cycles, activation_buffer.freed,
                      masks.freed),
          busy(clock),
          waits_operands(clock),
          waits_room(clock),
          tiles(clock, TILE_WORDS),
          slots(clock, RESULT_TILES, 1, {.meter = &busy}),
          room(clock, UNBOUNDED),
          i_(i),
          tokens_{&weight_buffer.full, &activation_buffer.full, &masks.full},
          words_(2 * clock.sizes.result_buffer_words) {
        i.sink = room.sink = tiles.source = slots.source = weights.i.source = activations.i.source = this;
        for (Fifo* queue : tokens_) queue->sink = this;
    }

    void state(State& out) override {
        const Int sums = blocks_ ? tile_words(clock.sizes, blocks_->product) : 0;
        out.same(tiles_ > 0 && words_ >= sums);
        out.toward(words_, sums - 1, freed_);
        out.toward(tiles_, 0, freed_);
        out.time(free_at_);
        out.same(blocks_ != nullptr);
        if (!blocks_) return;
        out.thing(&blocks_->product);
        out.row(block_, *blocks_);
    }

    // No product is inside.
    bool idle() const override { return !blocks_ && clock.now >= free_at_; }

    void step() override {
        for (; room.valid(); ++tiles_, ++freed_) words_ += room.take();
        Meter* waits = nullptr;
        if (blocks_) {
            if (clock.now >= free_at_) waits = hand_out();
        } else if (i_.valid() && idle()) {
            const Product& product = *i_.take();
            blocks_ = std::make_unique<Blocks>(clock.sizes, product);
            block_ = 0;
            if (product.taps_y != 1 || product.taps_x != 1) masks.i.put(&product);
            free_at_ = clock.now + 2;  // checked first
            wake(2);
        }
        seen(waits);
    }

private:
    Words<const Product*>& i_;
    Fifo* const tokens_[3];
    std::unique_ptr<Blocks> blocks_;
    Int words_, tiles_ = RESULT_TILES;  // room in the output buffer
    Int freed_ = 0;                     // tiles of it, so far
    Int block_ = 0, free_at_ = 0;

    // Hand out the next part, if all that it needs is there; what it waits for.
    Meter* hand_out() {
        const Block& block = blocks_->content(block_);
        const Product& product = blocks_->product;
        for (int one = 0; one < 3; ++one)
            if (!tokens_[one]->holds(block.needs[one])) return &waits_operands;
        const Int sums = tile_words(clock.sizes, product);
        if (block.begins && !(tiles_ && words_ >= sums)) return &waits_room;
        if (!weights.i.ready() || !activations.i.ready() || !tiles.ready() || !slots.ready()) return nullptr;
        for (int one = 0; one < 3; ++one)
            for (Int count = 0; count < block.needs[one]; ++count) tokens_[one]->take();
        weights.i.put(block.parts[0]);
        activations.i.put(block.parts[1]);
        if (block.begins) {
            --tiles_;
            words_ -= sums;
            slots.put(&product);
            if (block.starts) tiles.put(&product);
        }
        if (++block_ == blocks_->total) {
            blocks_.reset();
            free_at_ = clock.now + 1;
        }
        clock.marked |= HAND_OUT;
        wake();
        return nullptr;
    }
};

// Steps of the array, see hw.array.sequencer and, for products whose weights stay, hw.array.stationary.
class Sequencer : public Unit {
public:
    // Tiles, and the words of their operands; where the sums go.
    Sequencer(Clock& clock, Words<const Product*>& tiles, OperandFeed& weights, OperandFeed& groups, ResultBuffer& results)
        : Unit(clock),
          tiles_(tiles),
          weights_(weights),
          groups_(groups),
          results_(results),
          drain_steps_(clock.sizes.uspe_latency_cycles + clock.sizes.drain_steps - 1) {
        tiles.sink = weights.o.sink = groups.o.sink = this;
    }

    void state(State& out) override {
        out.thing(tile_);
        out.same(slot_);
        out.same(tile_ && tile_->slot_columns == 1 ? in_group_ : 0);  // which else changes nothing
        out.time(free_at_);
        out.same(drains_.size());
        for (Int step : drains_) out.same(step - steps_);
        out.same(passing_.has_value());
        if (passing_) passing_->state(out);
        if (!tile_) return;
        // Of the tile are slots_, waiting_rounds_ and last_round_.
        const bool waits = round_ < waiting_rounds_;
        out.same(waits);
        out.same(round_ == last_round_);
        out.toward(round_, waits ? waiting_rounds_ : last_round_, begun_);
    }

    void step() override {
        if (clock.now < free_at_) return;
        if (clock.hurries && hurry()) return;
        if (passing_) {
            pass();
        } else if (!tile_) {
            if (tiles_.valid() && !(!drains_.empty() && tiles_.peek()->vectors)) {
                begin();
            } else if (drains_.empty()) {
                return;
            }
            if (!drains_.empty()) count();
            wake();
        } else if (feed()) {
            count();
            wake();
        }
    }

private:
    Words<const Product*>& tiles_;
    OperandFeed &weights_, &groups_;
    ResultBuffer& results_;
    const Int drain_steps_;
    const Product* tile_ = nullptr;
    Int slots_ = 0, waiting_rounds_ = 0, last_round_ = 0;  // of the tile
    Int steps_ = 0, begun_ = 0;                            // steps and tiles, so far
    Int round_ = 0, slot_ = 0, in_group_ = 0;
    Int free_at_ = 0;         // until then all is done
    std::deque<Int> drains_;  // steps that bring out the last words of tiles
    std::optional<Passing> passing_;

    void begin() {
        const Product* tile = tiles_.take();
        if (tile->vectors) {
            passing_.emplace(clock.sizes, *tile, weights_, groups_);
            return;
        }
        tile_ = tile;
        ++begun_;
        slots_ = tile->slot_rows * tile->slot_columns;
        waiting_rounds_ = std::max<Int>(0, clock.sizes.columns - tile->rounds);
        last_round_ = std::max(clock.sizes.columns, tile->rounds) - 1;
    }

    void pass() {
        if (!passing_->step()) return;
        if (passing_->ends_tile()) give();
        if (passing_->ended()) passing_.reset();
        wake();
    }

    // Take all steps at once in which each slot has operands and nothing ends, as many rounds as can be; whether there are any.
    bool hurry() {
        const Int slots = clock.sizes.interleave_slots;
        if (!tile_ || slot_ || slots_ != slots || round_ < waiting_rounds_) return false;
        const bool single = tile_->slot_columns == 1;
        if (single && in_group_) return false;
        const Int apart = single ? slots * tile_->group_rounds : tile_->slot_rows;  // steps from group to group
        Int steps = std::min({slots * (last_round_ - round_), weights_.ahead(), groups_.ahead() * apart, MOST_STEPS});
        if (!drains_.empty()) steps = std::min(steps, drains_.front() - steps_);
        steps -= steps % std::max(slots, apart);
        const auto weight = [this](Int word) { return clock.now + word; };
        const auto group = [this, apart](Int word) { return clock.now + (word + 1) * apart - 1; };
        if (steps <= 0 || !weights_.flows(steps, weight) || !groups_.flows(steps / apart, group)) return false;
        weights_.flow(steps, weight);
        groups_.flow(steps / apart, group);
        round_ += steps / slots;
        in_group_ = (in_group_ + steps / slots) % tile_->group_rounds;
        steps_ += steps;
        free_at_ = clock.now + steps;
        wake(steps);
        return true;
    }

    // Take a step of the tile, if its operands are there.
    bool feed() {
        const Product& tile = *tile_;
        const bool ends = round_ == last_round_, ends_group = ends || in_group_ == tile.group_rounds - 1;
        if (round_ >= waiting_rounds_ && slot_ < slots_) {
            if (!weights_.o.valid() || !groups_.o.valid()) return false;
            weights_.take();
            if ((slot_ + 1) % tile.slot_rows == 0 && (tile.slot_columns != 1 || ends_group)) groups_.take();
        }
        if (ends && !slot_) drains_.push_back(steps_ + drain_steps_);
        if (++slot_ == clock.sizes.interleave_slots) {
            slot_ = 0;
            if (round_ >= waiting_rounds_) in_group_ = ends_group ? 0 : in_group_ + 1;
            ++round_;
            if (ends) {
                round_ = 0;
                tile_ = nullptr;
                if (tiles_.valid() && !tiles_.peek()->vectors) begin();
            }
        }
        return true;
    }

    // A step was taken; perhaps it brought out the last word of a tile.
    void count() {
        if (!drains_.empty() && drains_.front() == steps_) {
            drains_.pop_front();
            give();
        }
        ++steps_;
    }

    // The word that this step brings out, the last of a tile, will be in the output buffer.
    void give() { results_.expect(clock.now + clock.sizes.array_latency_cycles + 1); }
};

}  // namespace machine
