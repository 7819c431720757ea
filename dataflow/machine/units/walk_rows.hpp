// The rows of a walk: their chunks and requests, and which are alike.
#pragma once
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "rows.hpp"
#include "state.hpp"

namespace machine {

// Bits of a chunk: those of `hw.dma.walker.chunk_layout` that have to do with time, and whether a request comes with it.
enum Chunk : Int { OUTSIDE = 1, END_OF_BEAT = 2, END_OF_WORD = 4, END_OF_BLOCK = 8, LAST = 16, ASKS = 32 };

constexpr Int SEGMENT_ELEMENTS =
    4096;  // a row that is longer, and the only one of its space, is looked at in pieces of whole bursts
constexpr Int MOST_LANDMARKS = 256;      // in a window; where more rows are alike, what comes again soon is found without
constexpr std::size_t MOST_WALKS = 256;  // that are known
constexpr std::size_t MOST_SPANNED = std::size_t(1) << 19;  // rows whose kinds are kept span by span
constexpr Int ENDLESS = Int(1) << 40;                       // no run is as long

// Beats to be read or written; in which beat of a page they begin, or 0 where they do not cross one.
struct Request {
    Int place, beats;
};
inline void write(State& out, const Request& word) {
    out.same(word.place);
    out.same(word.beats);
}

// Chunks of a row, and the request of each.
struct WalkRow {
    std::vector<Int> chunks;
    std::vector<Request> requests;
};

// One of a walk's two spaces: where its elements are, and which of them a block has.
class Space {
public:
    const Loop* loops;
    Int counter, tile, size, tiles;

    Space(const Walk& walk, const Loop* loops, Int counter, Int size, Int tile, bool run)
        : loops(loops), counter(counter), run_(run) {
        tiles = counter == Counter::OUTER    ? walk.outer
                : counter == Counter::MIDDLE ? walk.middle
                : counter == Counter::INNER  ? walk.inner
                                             : 1;
        this->tile = counter == Counter::NONE ? std::min(size, tile) : tile;
        this->size = std::min(size, tiles * this->tile);
        ways_[0] = 1;
        for (Int number = 0; number < LOOPS; ++number) ways_[number + 1] = ways_[number] * loops[number].count;
    }

    // How many of the innermost loops end between two elements.
    Int ending(Int first, Int last) const {
        Int number = 0;
        while (number < LOOPS && first / ways_[number + 1] != last / ways_[number + 1]) ++number;
        return number;
    }

    // Elements, `most` at most, that as many of the innermost loops as can be take whole.
    Int whole(Int most) const {
        Int number = 0;
        while (number < LOOPS && ways_[number + 1] <= most) ++number;
        return most / ways_[number] * ways_[number];
    }

    Int digit(Int element, Int number) const { return element / ways_[number] % loops[number].count; }

    // What the loops, but for a run, have moved an address and both guards by.
    struct Moves {
        Int delta, guards[2];

        void by(const Loop& loop, Int count) {
            delta += loop.delta * count;
            guards[0] += loop.guard_0 * count;
            guards[1] += loop.guard_1 * count;
        }
    };
    Moves moved(Int element) const {
        Moves moves{};
        Int inside = element / ways_[run_];
        for (Int number = run_; number < LOOPS && inside; ++number) {  // all loops further out stand at zero, too
            const Int around = loops[number].count > 1 ? inside / loops[number].count : inside;
            moves.by(loops[number], inside - around);
            inside = around;
        }
        return moves;
    }

    // Of one element after the other of a space without a run: where the loops stand, and what they have moved.
    class Steps {
    public:
        explicit Steps(const Space& space) : space_(space) {}

        Moves moves{};

        void at(Int element) {
            for (Int number = 0; number < LOOPS; ++number) digits_[number] = space_.digit(element, number);
            moves = space_.moved(element);
        }
        void next() {
            for (Int number = 0; number < LOOPS; ++number) {
                const Loop& loop = space_.loops[number];
                if (++digits_[number] < loop.count) return moves.by(loop, 1);
                digits_[number] = 0;
            }
        }

    private:
        const Space& space_;
        Int digits_[LOOPS] = {};
    };

    // How far apart two values of a guard can be; where it may go round, too far for any limit.
    Int reach(Int Loop::* step) const {
        Int total = 0, way = 0;
        for (Int number = run_; number < LOOPS; ++number) {
            const Int move = loops[number].*step + way;
            way += (loops[number].count - 1) * move;
            total += (loops[number].count - 1) * std::abs(move);
        }
        return total * ceiling(size, ways_[LOOPS]);
    }

    Int length(Int tile_number) const { return std::min(tile, size - tile_number * tile); }

private:
    const bool run_;
    Int ways_[LOOPS + 1];
};

// The rows of a walk, block after block: the chunks of u for one element of v, of at most `most` elements each.
//
// Where u is long and whole in each block, a row is a piece of it. Words are of one stream whatever block they are of: without
// `ends`, rows that end a block are like others, but for the last of all.
class WalkRows : public Rows<WalkRow> {
public:
    const Walk walk;

    WalkRows(const Sizes& sizes, const Walk& of, Int most, bool ends)
        : Rows(rows_of(sizes, of)),
          walk(of),
          u_(space_u(walk)),
          v_(space_v(walk)),
          beat_bytes_(sizes.axi_data_bytes),
          most_(most),
          window_bytes_(Int(1) << sizes.address_bits),
          piece_(piece_of(sizes, walk)),
          pieces_(pieces_of(sizes, walk)),
          limit_(walk.run_limit == NO_LIMIT ? ENDLESS : walk.run_limit),
          blocks_(walk.outer * walk.middle * walk.inner),
          together_(together_of(walk)),
          ends_(ends),
          others_(walk.u[1].count * walk.u[2].count * walk.u[3].count > 1),
          span_(v_.whole(WINDOW)) {
        guarded_[0] = {walk.start_0, walk.limit_0, u_.reach(&Loop::guard_0)};
        guarded_[1] = {walk.start_1, walk.limit_1, u_.reach(&Loop::guard_1) + walk.run_guard * walk.u[0].count};
    }

    // Of a row of the window in which one was last asked for.
    bool landmark(Int number) const { return (*landmarks_)[number % WINDOW]; }

    // Of all elements that are inside; -1 where none is.
    Int last_byte() const {
        Int last = -1;
        for (Int number = 0; number < total; ++number) {
            const Start start = start_of(number);
            for (Int element = start.element; element < start.element + std::min(start.left, piece_); ++element) {
                const Place place = place_of(start.v, element);
                bool inside = u_.digit(element, 0) < walk.run_limit;
                for (int one = 0; one < 2; ++one) inside &= within(one, place.guards[one]);
                if (inside) last = std::max(last, place.address);
            }
        }
        return last >= 0 ? last + (Int(1) << walk.size_log2) - 1 : -1;
    }

protected:
    void key(Int number, Key& out) override {
        find(number);
        const Start& start = start_;
        const Place place = place_at(steps_.moves, moved_, digit_);
        const Int run = walk.u[0].count, digit = digit_, length = std::min(start.left, piece_);
        // In one run: whether it is asked for, how much, and where in a page if it does not end in it.
        bool alone = !(others_ || limit_ < run) || length <= run - digit;
        alone &= limit_ >= run && !walk.run_guard;
        const Int asked = digit == 0 || start.piece == 0 ? std::min(run - digit, start.left) : 0;
        const bool crosses = place.address % PAGE_BYTES + (asked << walk.size_log2) > PAGE_BYTES;
        const bool last_block = start.block == blocks_ - 1;
        const Int page = place.address & (PAGE_BYTES - 1);
        out.add(start.last_row() && (last_block || ends_));
        out.add(start.last_row() && last_block);
        out.add(start.left <= piece_);
        out.add(length);
        out.add(alone && !crosses ? page & (beat_bytes_ - 1) : page);
        out.add(alone ? asked : -1 - (start.piece == 0));
        if (!alone) {
            for (Int loop = 0; loop < LOOPS; ++loop) out.add(u_.digit(start.element, loop));
            out.add(start.left);
        }
        for (int one = 0; one < 2; ++one) {
            const Guarded& by = guarded_[one];
            const Int guard = place.guards[one];
            const bool surely = guard >= by.reach && guard + by.reach < by.limit;
            out.add(surely ? 1 << 20 : !alone ? guard : within(one, guard) ? 1 << 20 : 1 << 21);
            if (goes_round(one)) out.add(number);  // none is like another
        }
    }

    // Span by span: most are as others were, but for their page.
    void list(Int first, std::int32_t* kinds, Int count) override {
        if (pieces_ > 1 || goes_round(0) || goes_round(1)) return Rows::list(first, kinds, count);
        for (Int end = first + count; first < end;) {
            const Start start = start_of(first);
            const Int before = std::min(start.v % v_.tile, start.v % span_);
            const Window& span = span_of(first - before, start.v - before, start);
            const Int here = std::min<Int>(end - first, span.size() - before);
            std::copy_n(span.begin() + before, here, kinds);
            kinds += here;
            first += here;
        }
    }

    // Its chunks, as `hw.dma.walker.Walker` cuts them, and their requests.
    WalkRow make(Int number) override {
        const Start start = start_of(number);
        const Int size = walk.size_log2, run = walk.u[0].count, end = std::min(start.left, piece_);
        WalkRow row;
        Int position = 0, address = 0, digit = 0, in_word = 0, first = 0, limit = limit_;
        bool kept = false, again = true;
        while (position < end) {
            if (again) {  // a run, or where it begins
                const Place place = place_of(start.v, start.element + position);
                address = place.address;
                digit = u_.digit(start.element + position, 0);
                kept = within(0, place.guards[0]) && (within(1, place.guards[1]) || walk.run_guard);
                first = walk.run_guard ? std::max<Int>(0, -place.guards[1]) : 0;
                limit = walk.run_guard ? std::min(limit_, std::max<Int>(0, walk.limit_1 - place.guards[1])) : limit_;
            }
            Int together = std::min(run - digit, start.left - position);
            const bool inside = kept && first <= digit && digit < limit;
            if (digit < limit) together = std::min(together, (digit < first ? first : limit) - digit);
            const Int offset = address % beat_bytes_;
            const Int count = std::min({together, walk.boundary - in_word, (beat_bytes_ - offset) >> size, most_});
            const bool ends = position + count == start.left, ends_word = ends || in_word + count == walk.boundary;
            const bool ends_beat = count == together || offset + (count << size) >= beat_bytes_,
                       ends_block = ends && start.last_row();
            const bool begins = digit == 0 || (position == 0 && start.piece == 0) || digit == first, asks = begins && inside;
            const auto bit = [](bool is, Int chunk) { return is ? chunk : 0; };
            row.chunks.push_back(bit(!inside, OUTSIDE) | bit(ends_beat, END_OF_BEAT) | bit(ends_word, END_OF_WORD) |
                                 bit(ends_block && ends_, END_OF_BLOCK) | bit(ends_block && start.block == blocks_ - 1, LAST) |
                                 bit(asks, ASKS));
            row.requests.push_back(asks ? request(address, together << size) : Request{-1, -1});
            position += count;
            in_word = ends_word ? 0 : in_word + count;
            digit += count;
            address = (address + (count << size)) & (window_bytes_ - 1);
            again = digit == run;
        }
        return row;
    }

    std::vector<Int> written(const WalkRow& row) const override {
        std::vector<Int> numbers = row.chunks;
        for (const Request& one : row.requests) numbers.insert(numbers.end(), {one.place, one.beats});
        return numbers;
    }

    // Landmarks are rows before which what is outside of them changes in a way that is rare in a window, but comes again: as
    // where images begin; or the rows themselves do, where nothing is outside.
    void turned(Int first, const Window& kinds) override {
        auto [known, is_new] = landmarks_of_.try_emplace(first, kinds.size());
        landmarks_ = &known->second;
        if (!is_new) return;
        for (; outlines_.size() < contents_.size();) {
            std::vector<bool> outside;
            for (Int chunk : contents_[outlines_.size()].chunks) outside.push_back(chunk & OUTSIDE);
            outlines_.push_back(of_outline_.try_emplace(outside, static_cast<Int>(of_outline_.size())).first->second);
        }
        Window outlines;
        for (Int kind : kinds) outlines.push_back(static_cast<std::int32_t>(outlines_[kind]));
        if (!mark(outlines)) mark(kinds);
    }

private:
    struct Guarded {
        Int start, limit, reach;
    };
    struct Place {
        Int address, guards[2];
    };
    struct Start {
        Int block, v, element, left,
            piece;  // block and element of v; first element of u, how many there are from it on; piece of u
        Int rows;   // of its block, from this one on
        bool last_row() const { return rows == 1; }
    };
    const Space u_, v_;
    const Int beat_bytes_, most_, window_bytes_, piece_, pieces_, limit_, blocks_, together_;
    const bool ends_, others_;
    const Int span_;  // elements of v whose rows are listed together, where they are of one block
    std::unordered_map<std::vector<Int>, Window, Hash> spans_;
    std::size_t spanned_ = 0;  // rows in them
    Guarded guarded_[2];
    Int found_ = -1;  // row that was found last: where it starts, what has moved it, its place in a run
    Start start_{};
    Space::Steps steps_{v_};
    Space::Moves moved_{};
    Int digit_ = 0;
    std::unordered_map<Int, std::vector<bool>> landmarks_of_;  // of each window, by its first row
    std::vector<bool>* landmarks_ = nullptr;
    std::vector<Int> outlines_;  // of each kind
    std::map<std::vector<bool>, Int> of_outline_;

    static Space space_u(const Walk& walk) { return {walk, walk.u, walk.u_counter, walk.u_size, walk.u_tile, true}; }
    static Space space_v(const Walk& walk) { return {walk, walk.v, walk.v_counter, walk.v_size, walk.v_tile, false}; }

    static Int piece_of(const Sizes& sizes, const Walk& walk) {
        const Space u = space_u(walk);
        const Int piece =
            std::lcm(walk.boundary, std::max<Int>(1, sizes.axi_burst_beats * sizes.axi_data_bytes >> walk.size_log2));
        return u.tiles > 1 || u.tile <= std::max(SEGMENT_ELEMENTS, piece) ? u.tile : piece;
    }
    static Int pieces_of(const Sizes& sizes, const Walk& walk) {
        const Space u = space_u(walk);
        return u.tiles == 1 ? ceiling(u.size, piece_of(sizes, walk)) : 1;
    }

    // Blocks in which v stays at one tile follow each other: those of all counters inside its own.
    static Int together_of(const Walk& walk) {
        switch (walk.v_counter) {
            case Counter::OUTER: return walk.middle * walk.inner;
            case Counter::MIDDLE: return walk.inner;
            case Counter::INNER: return 1;
            default: return walk.outer * walk.middle * walk.inner;
        }
    }
    static Int rows_of(const Sizes& sizes, const Walk& walk) {
        const Space v = space_v(walk);
        return walk.outer * walk.middle * walk.inner / v.tiles * v.size * pieces_of(sizes, walk);
    }

    Start start_of(Int number) const {
        Start start;
        const Int row = pieces_ == 1 ? number : number / pieces_;
        start.piece = number - row * pieces_;
        const Int again = row / (together_ * v_.size);
        Int rest = row - again * together_ * v_.size;
        const Int tile = v_.tiles == 1 ? 0 : std::min(rest / (together_ * v_.tile), v_.tiles - 1);
        rest -= tile * together_ * v_.tile;
        const Int length = v_.length(tile);
        const Int block = rest / length, in_tile = rest - block * length;
        start.block = (again * v_.tiles + tile) * together_ + block;
        start.v = tile * v_.tile + in_tile;
        start.rows = length - in_tile;
        const Int of_u = u_.counter == Counter::OUTER    ? start.block / (walk.middle * walk.inner)
                         : u_.counter == Counter::MIDDLE ? start.block / walk.inner % walk.middle
                         : u_.counter == Counter::INNER  ? start.block % walk.inner
                                                         : 0;
        start.element = of_u * u_.tile + start.piece * piece_;
        start.left = u_.length(of_u) - start.piece * piece_;
        return start;
    }

    // Where a row starts; most often it is the next one.
    void find(Int number) {
        const bool next = number == found_ + 1 && found_ >= 0;
        if (next && pieces_ == 1 && start_.rows > 1) {
            ++start_.v;
            --start_.rows;
            steps_.next();
        } else {
            if (next && start_.left > piece_) {
                ++start_.piece;
                start_.element += piece_;
                start_.left -= piece_;
            } else {
                start_ = start_of(number);
                steps_.at(start_.v);
            }
            moved_ = u_.moved(start_.element);
            digit_ = u_.digit(start_.element, 0);
        }
        found_ = number;
    }

    // Address and guards of an element.
    Place place_of(Int v, Int element) const { return place_at(v_.moved(v), u_.moved(element), u_.digit(element, 0)); }

    Place place_at(const Space::Moves& of_v, const Space::Moves& of_u, Int digit) const {
        Place place;
        place.address = (walk.base + of_v.delta + of_u.delta + (digit << walk.size_log2)) & (window_bytes_ - 1);
        for (int one = 0; one < 2; ++one)
            place.guards[one] = guarded_[one].start + around(of_v.guards[one]) + around(of_u.guards[one]);
        return place;
    }

    // In as many bits as the hardware has for what a space adds.
    static Int around(Int guard) {
        constexpr Int half = Int(1) << (GUARD_BITS - 1);
        return ((guard + half) & (2 * half - 1)) - half;
    }

    bool goes_round(int one) const { return guarded_[one].reach >> (GUARD_BITS - 1); }

    // Kinds of the rows from `first` on, which is that of `v`, to the end of a span or of the block, to which `start` belongs.
    const Window& span_of(Int first, Int v, const Start& start) {
        const Int block_end = start.v + start.rows, end = std::min(block_end, v - v % span_ + span_);
        const bool ends_block = end == block_end, last_block = start.block == blocks_ - 1;
        const Space::Moves moves = v_.moved(v);
        std::vector<Int> key = {end - v,
                                ends_block && (last_block || ends_),
                                ends_block && last_block,
                                start.element,
                                moves.delta & (PAGE_BYTES - 1),
                                around(moves.guards[0]),
                                around(moves.guards[1])};
        for (Int loop = 0, ending = v_.ending(v, end - 1); loop < ending; ++loop) key.push_back(v_.digit(v, loop));
        auto known = spans_.find(key);
        if (known != spans_.end()) return known->second;
        if (spanned_ > MOST_SPANNED) {
            spans_.clear();
            spanned_ = 0;
        }
        Window kinds(end - v);
        Rows::list(first, kinds.data(), end - v);
        spanned_ += end - v;
        return spans_.emplace(std::move(key), std::move(kinds)).first->second;
    }

    bool within(int one, Int guard) const { return guard >= 0 && guard < guarded_[one].limit; }

    Request request(Int address, Int size) const {
        const Int beats = ceiling(address % beat_bytes_ + size, beat_bytes_);
        const Int place = address % PAGE_BYTES / beat_bytes_, page = PAGE_BYTES / beat_bytes_;
        return {place + beats > page ? place : 0, beats};
    }

    bool mark(const Window& kinds) {
        std::vector<Int> starts;
        for (Int place = 1; place < static_cast<Int>(kinds.size()); ++place)
            if (kinds[place] != kinds[place - 1]) starts.push_back(place);
        std::map<std::tuple<Int, Int, Int>, std::vector<Int>>
            ways;  // how long the kind before lasted, which, and what comes then
        for (std::size_t one = 1; one < starts.size(); ++one)
            ways[{starts[one] - starts[one - 1], kinds[starts[one] - 1], kinds[starts[one]]}].push_back(starts[one]);
        const std::vector<Int>* rarest = nullptr;
        for (const auto& [way, places] : ways) {
            const Int count = places.size();
            const bool apart =
                places.back() - places.front() >= static_cast<Int>(kinds.size()) / 2;  // not of a few images alone
            if (count > 1 && count <= MOST_LANDMARKS && apart && (!rarest || places.size() < rarest->size())) rarest = &places;
        }
        if (!rarest) return false;
        for (Int place : *rarest) (*landmarks_)[place] = true;
        return true;
    }
};

// The rows of walks that were walked before: how they are cut is the same for all that begin at the same place of a page.
class KnownWalks {
public:
    std::shared_ptr<WalkRows> of(const Sizes& sizes, const Walk& walk, Int most, bool ends) {
        Walk placed = walk;
        placed.base %= PAGE_BYTES;
        const auto* numbers = reinterpret_cast<const Int*>(&placed);
        std::vector<Int> key(numbers, numbers + sizeof placed / sizeof *numbers);
        key.insert(key.end(), {most, ends});
        if (known_.size() == MOST_WALKS) known_.clear();
        auto& known = known_[key];
        if (!known) known = std::make_shared<WalkRows>(sizes, placed, most, ends);
        return known;
    }

private:
    std::unordered_map<std::vector<Int>, std::shared_ptr<WalkRows>, Hash> known_;
};

}  // namespace machine
