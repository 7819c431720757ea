// Sequences of rows, of which most are equal: blocks of a product, tiles of a pass, rows of a walk.
#pragma once
#include <algorithm>
#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "isa.hpp"

namespace machine {

constexpr Int WINDOW = 4096;  // rows whose kinds are found at a time
constexpr std::size_t KEPT_WINDOWS = 32;

struct Hash {
    std::size_t operator()(const std::vector<Int>& numbers) const {
        std::uint64_t hash = 0x9E3779B97F4A7C15;
        for (Int number : numbers) {
            hash = (hash ^ static_cast<std::uint64_t>(number)) * 0xFF51AFD7ED558CCD;
            hash ^= hash >> 32;
        }
        return hash;
    }
};

// The numbers that decide the content of a row.
class Key {
public:
    void clear() { count_ = 0; }
    void add(Int number) { numbers_[count_++] = number; }
    bool operator==(const Key& other) const {
        Int differ = count_ ^ other.count_;
        for (Int place = 0; place < count_; ++place) differ |= numbers_[place] ^ other.numbers_[place];
        return !differ;
    }
    std::vector<Int> all() const { return {numbers_, numbers_ + count_}; }

private:
    Int count_ = 0, numbers_[16] = {};  // no row has more
};

// What is known of a sequence of `total` rows without their contents: which of them are of one kind.
class Kinds {
public:
    const Int total;

    explicit Kinds(Int total) : total(total) {}
    virtual ~Kinds() = default;

    // A number that rows of the same content have in common.
    Int kind(Int number) {
        if (number / WINDOW != window_) turn(number / WINDOW);
        return (*kinds_)[number - window_ * WINDOW];
    }

    // Whether so many rows from `start` on are equal to those from `other` on, which is not before it.
    bool same(Int start, Int other, Int count) {
        return start == other || (other + count <= total && until(start, other - start, start + count) == start + count);
    }

    // How often, `most` at most, the rows from `start` on, `step` of them, come again behind themselves, and then some one.
    // The row in which the last time ends has to be equal, too.
    Int periods(Int start, Int step, Int most) {
        const Int wanted = most < (total - start) / step + 1 ? start + most * step + 1 : total;
        return std::min(most, (until(start, step, wanted) - 1 - start) / step);
    }

protected:
    using Window = std::vector<std::int32_t>;  // kinds of rows

    virtual void key(Int number, Key& out) = 0;

    // Make the content of a row; its kind.
    virtual Int made(Int number) = 0;

    // Another window than before is looked at.
    virtual void turned(Int, const Window&) {}

    // Kinds of the rows from `first` on, as many as there is room for. A content is made once for all rows with the same key.
    virtual void list(Int first, std::int32_t* kinds, Int count) {
        Key here, before;
        for (Int place = 0; place < count; ++place) {
            here.clear();
            key(first + place, here);
            if (place && here == before) {
                kinds[place] = kinds[place - 1];
                continue;
            }
            auto [known, is_new] = of_key_.try_emplace(here.all(), 0);
            if (is_new) known->second = made(first + place);
            kinds[place] = known->second;
            before = here;
        }
    }

private:
    struct Equal {
        Int first, end;
        bool found;
    };
    Int window_ = -1;
    std::shared_ptr<const Window> kinds_;
    std::unordered_map<Int, std::shared_ptr<const Window>> windows_;
    std::deque<Int> order_;  // of the windows that are kept
    std::unordered_map<std::vector<Int>, Int, Hash> of_key_;
    std::unordered_map<Int, Equal> equal_;

    void turn(Int window) {
        kinds_ = window_of(window);
        window_ = window;
        turned(window * WINDOW, *kinds_);
    }

    // The first row from `start` on that is not equal to the one `step` behind it; or `wanted`, if there is none before.
    Int until(Int start, Int step, Int wanted) {
        auto [place, is_new] = equal_.try_emplace(step, Equal{start, start, false});
        Equal known = place->second;
        if (start < known.first || start > known.end) known = {start, start, false};
        if (known.found && start == known.end) return known.end;
        const Int last = total - step;
        while (!known.found && known.end < wanted) {
            if (known.end >= last) {
                known.found = true;
                break;
            }
            const Int end = known.end, there = end + step;
            const Int count = std::min({WINDOW - end % WINDOW, WINDOW - there % WINDOW, last - end});
            const auto here = window_of(end / WINDOW), behind = window_of(there / WINDOW);
            const auto first = here->begin() + end % WINDOW;
            const Int equal = std::mismatch(first, first + count, behind->begin() + there % WINDOW).first - first;
            known.end += equal;
            known.found = equal < count;
        }
        equal_[step] = known;
        return std::min(known.end, wanted);
    }

    std::shared_ptr<const Window> window_of(Int window) {
        auto found = windows_.find(window);
        if (found != windows_.end()) return found->second;
        if (order_.size() == KEPT_WINDOWS) {
            windows_.erase(order_.front());
            order_.pop_front();
        }
        order_.push_back(window);
        Window kinds(std::min(WINDOW, total - window * WINDOW));
        list(window * WINDOW, kinds.data(), kinds.size());
        return windows_.emplace(window, std::make_shared<const Window>(std::move(kinds))).first->second;
    }
};

// With their contents, which a subclass makes and writes down as numbers.
template <class Content>
class Rows : public Kinds {
public:
    using Kinds::Kinds;

    const Content& content(Int number) { return contents_[kind(number)]; }

protected:
    std::deque<Content> contents_;  // of each kind; they stay where they are

    virtual Content make(Int number) = 0;
    virtual std::vector<Int> written(const Content& content) const = 0;

private:
    std::unordered_map<std::vector<Int>, Int, Hash> of_content_;

    Int made(Int number) override {
        Content content = make(number);
        auto [known, is_new] = of_content_.try_emplace(written(content), static_cast<Int>(contents_.size()));
        if (is_new) contents_.push_back(std::move(content));
        return known->second;
    }
};

inline Int ceiling(Int numerator, Int denominator) { return (numerator + denominator - 1) / denominator; }

inline Int floor_modulo(Int value, Int modulus) {
    const Int rest = value % modulus;
    return rest < 0 ? rest + modulus : rest;
}

}  // namespace machine
