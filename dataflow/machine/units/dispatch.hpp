// The dispatcher: commands in front of their units.
#pragma once
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "reader.hpp"
#include "vector.hpp"

namespace machine {

constexpr Int ALONE_CYCLES = 8;  // longer than a unit that is done with its work takes to be idle

// A command as it was made of numbers: which it is, how many words it has in memory, its fields.
struct Command {
    Int opcode, length;
    const Int* fields;

    template <class Kind>
    const Kind& as() const {
        return *reinterpret_cast<const Kind*>(fields);
    }
};

// Of `numbers`, which stay where they are: opcode, length and count of fields of each command, and these.
inline std::vector<Command> commands_of(const std::vector<Int>& numbers) {
    std::vector<Command> commands;
    for (std::size_t place = 0; place < numbers.size(); place += 3 + numbers[place + 2])
        commands.push_back({numbers[place], numbers[place + 1], &numbers[place + 3]});
    return commands;
}

// Takes a command's words, hands it on when there is room, and waits where it is to synchronise.
class Dispatch : public Unit {
public:
    Stored stored;                                // what loads and stores wait for
    std::vector<std::unique_ptr<Walks>> sources;  // queues of each source, null for the program itself
    std::vector<std::unique_ptr<Walks>> sinks;    // and of each sink
    Words<const Load*> weights, activations;      // placements
    Words<const Product*> product;
    Words<const Pass*> tiles;
    Words<Work> work;
    std::vector<Unit*> units;   // which are idle where the machine is quiet
    Fifo* sequencer = nullptr;  // tiles that wait for the sequencer, which it then is, too

    // The program, which ends with HALT; its words as they come from memory; whether conditional commands are skipped.
    Dispatch(Clock& clock, const std::vector<Command>& commands, Reader& fetch, bool overflow)
        : Unit(clock),
          stored(clock),
          weights(clock, QUEUED_COMMANDS),
          activations(clock, QUEUED_COMMANDS),
          product(clock, QUEUED_COMMANDS),
          tiles(clock, QUEUED_COMMANDS),
          work(clock, QUEUED_COMMANDS),
          fetch_(fetch),
          commands_(commands),
          overflow_(overflow) {
        fetch.o.sink = this;
        queues_ = {&weights, &activations, &product, &tiles, &work};
        for (Int source = 0; source < SOURCES; ++source) sources.push_back(source == Source::FETCH ? nullptr : queue());
        for (Int sink = 0; sink < SINKS; ++sink) sinks.push_back(queue());
        for (Fifo* one : queues_) one->source = this;
    }

    void state(State& out) override {
        // queues_ stay as they are.
        stored.state(out);
        out.same(next_);  // which says what command_ is
        for (Int value : {words_, done_at_, left_, still_, alone_}) out.same(value);
        out.same(command_ != nullptr);
    }

    Int words() const { return words_; }      // taken so far
    Int done_at() const { return done_at_; }  // the cycle in which the program ended, or -1

    void step() override {
        if (!command_ || left_) {
            take();
        } else if (command_->opcode == Opcode::SYNC || command_->opcode == Opcode::HALT) {
            synchronise();
        } else {
            issue(*command_);
        }
    }

private:
    static constexpr Int SOURCES = 7, SINKS = 4;
    Reader& fetch_;
    const std::vector<Command>& commands_;
    const bool overflow_;
    std::vector<Fifo*> queues_;
    const Command* command_ = nullptr;
    std::size_t next_ = 0;  // command
    Int left_ = 0, still_ = 0, alone_ = 0, words_ = 0, done_at_ = -1;

    std::unique_ptr<Walks> queue() {
        auto made = std::make_unique<Walks>(clock, QUEUED_COMMANDS, stored);
        queues_.push_back(made.get());
        return made;
    }

    // The next word of a command.
    void take() {
        if (!fetch_.o.valid()) return;
        fetch_.o.take();
        ++words_;
        if (!command_) {
            command_ = &commands_.at(next_++);
            left_ = command_->length;
            if (command_->opcode == Opcode::HALT) fetch_.halt();
        }
        --left_;
        wake();
    }

    // Whether all are idle; the one that was busy last is asked first.
    bool quiet() {
        for (std::size_t place = 0; place < units.size(); ++place)
            if (!units[place]->idle()) {
                std::swap(units[0], units[place]);
                return false;
            }
        return sequencer->empty() && std::all_of(queues_.begin(), queues_.end(), [](const Fifo* one) { return one->empty(); });
    }

    void synchronise() {
        if (still_ == QUIET_CYCLES) {
            stored.forget();
            if (command_->opcode == Opcode::HALT) {
                done_at_ = clock.now;
                return;
            }
            command_ = nullptr;
            still_ = 0;
            return wake();
        }
        const Int settles_at = fetch_.halted() ? fetch_.settles_at() : 0;
        still_ = clock.now >= settles_at && quiet() ? still_ + 1 : 0;
        alone_ = clock.alone(this) && !still_ ? std::min(alone_ + 1, ALONE_CYCLES) : 0;
        if (alone_ < ALONE_CYCLES) return wake();
        // What is idle stays so until a unit steps, or a beat comes.
        const Int next = std::min(clock.earliest(), settles_at > clock.now ? settles_at : NEVER);
        if (next < NEVER) clock.wake(number, next);  // else they wait for each other
    }

    // Into all of these queues, if they have room.
    template <class... Queues>
    void into(Queues&&... queues) {
        if (!(queues.first->ready() && ...)) return;
        (queues.first->put(queues.second), ...);
        command_ = nullptr;
        wake();
    }

    void issue(const Command& command) {
        const auto pair = [](auto* queue, auto word) { return std::make_pair(queue, word); };
        if (command.as<Header>().conditional && overflow_) return into();
        switch (command.opcode) {
            case Opcode::LOAD: {
                const Load& load = command.as<Load>();
                const auto walk = pair(sources[load.source].get(), Issued{&load.walk, load.after});
                if (load.source == Source::WEIGHTS) return into(walk, pair(&weights, &load));
                if (load.source == Source::ACTIVATIONS) return into(walk, pair(&activations, &load));
                return into(walk);
            }
            case Opcode::STORE: {
                const Store& store = command.as<Store>();
                return into(pair(sinks[store.sink].get(), Issued{&store.walk, store.after}));
            }
            case Opcode::PRODUCT: return into(pair(&product, &command.as<Product>()));
            case Opcode::UPDATE: return into(pair(&work, Work{nullptr, &command.as<Update>()}));
            default: {
                const Pass& pass = command.as<Pass>();
                const auto whole = pair(&work, Work{&pass, nullptr});
                if (pass.options & PassOption::FROM_SUMS) return into(whole, pair(&tiles, &pass));
                return into(whole);
            }
        }
    }
};

}  // namespace machine
