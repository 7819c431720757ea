// The steps of a product whose weights stay in the array.
#pragma once
#include <vector>

#include "buffers.hpp"

namespace machine {

// A period for each block of weights, and those that empty the array; of each, what happens in it.
class Periods : public Rows<std::vector<Int>> {
public:
    const Product& product;
    const Int period, rounds, steps, skew, end;
    const Int first;  // the step behind which the first tile's last word is out

    Periods(const Sizes& sizes, const Product& product)
        : Periods(product, std::max(product.vectors, sizes.stationary_period_steps), ceiling(product.rounds, sizes.columns),
                  sizes.stationary_steps, sizes.stationary_skew_steps) {}

protected:
    void key(Int number, Key& out) override {
        for (Int one : {steps, steps + skew, end}) out.add(std::clamp<Int>(one - number * period, 0, period));
        const Int since = number - first / period;
        out.add(since >= 0 && since % rounds == 0);
    }
    std::vector<Int> make(Int number) override {
        Key made;
        key(number, made);
        return made.all();
    }
    std::vector<Int> written(const std::vector<Int>& content) const override { return content; }

private:
    Periods(const Product& product, Int period, Int rounds, Int tail, Int skew)
        : Rows(ceiling(product.outer * product.middle * rounds * period + tail + 1, period)),
          product(product),
          period(period),
          rounds(rounds),
          steps(product.outer * product.middle * rounds * period),
          skew(skew),
          end(steps + tail),
          first(tail + 1 + (rounds - 1) * period + product.vectors - 1) {}
};

// A product's activations on their way past its weights, see hw.array.stationary.
class Passing {
public:
    Passing(const Sizes& sizes, const Product& product, OperandFeed& weights, OperandFeed& groups)
        : weights_(weights),
          groups_(groups),
          columns_(sizes.columns),
          apart_(sizes.add_latency_cycles),
          rows_(std::make_unique<Periods>(sizes, product)) {}

    void state(State& out) {
        out.thing(&rows_->product);
        out.same(place_);
        out.row(period_, *rows_);
    }

    // The array is empty again.
    bool ended() const { return now() == rows_->end; }

    // The step before brought out a tile's last word.
    bool ends_tile() const {
        const Int since = now() - rows_->first;
        return since >= 0 && since % (rows_->rounds * rows_->period) == 0;
    }

    // Take a step, if its operands are there.
    bool step() {
        const bool weights = now() < rows_->steps && place_ % apart_ == 0 && place_ / apart_ < columns_;
        const bool groups = now() < rows_->steps + rows_->skew;
        if ((weights && !weights_.o.valid()) || (groups && !groups_.o.valid())) return false;
        if (weights) weights_.take();
        if (groups) groups_.take();
        if (++place_ == rows_->period) {
            ++period_;
            place_ = 0;
        }
        return true;
    }

private:
    OperandFeed &weights_, &groups_;
    const Int columns_, apart_;
    std::unique_ptr<Periods> rows_;
    Int period_ = 0, place_ = 0;  // number of the period, and step in it

    Int now() const { return period_ * rows_->period + place_; }
};

}  // namespace machine
