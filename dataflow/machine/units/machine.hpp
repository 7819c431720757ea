// The accelerator as a whole, without numbers.
//
//     dispatch ─► walker ─► reader ─► port ◄─ writer ◄─ walker ◄─ dispatch
//                             │         │       ▲
//                             ▼       memory    │
//                      operand buffers ─► array ─► vector unit
#pragma once
#include <memory>
#include <vector>

#include "array.hpp"
#include "dispatch.hpp"
#include "fast_forward.hpp"
#include "port.hpp"
#include "vector.hpp"

namespace machine {

class Machine {
public:
    std::vector<Moment> moments;

    // The commands are as `commands_of` reads them.
    Machine(const Sizes& sizes, const Run& run, const Int* numbers, Int count)
        : clock(sizes),
          numbers_(numbers, numbers + count),
          commands_(commands_of(numbers_)),
          memory_{run.latency_cycles, run.interval_cycles},
          program_(clock, 1, none_),
          waits_free_(clock) {
        for (Int port = 0; port < sizes.ports; ++port) {
            reads_.push_back(std::make_unique<ReadPort>(clock, memory_));
            writes_.push_back(std::make_unique<WritePort>(clock, memory_));
        }
        const auto read_port = [&](Int number) -> ReadPort& { return *reads_[number % sizes.ports]; };
        readers_.push_back(std::make_unique<Reader>(clock, 1, program_, read_port(Source::FETCH), true));
        dispatch = std::make_unique<Dispatch>(clock, commands_, *readers_[0], run.overflow);
        for (Int source = Source::WEIGHTS; source <= Source::GATE; ++source) {
            const bool words = source > Source::ACTIVATIONS;
            const Int most = words ? sizes.vpu_lanes : source == Source::WEIGHTS ? sizes.weight_chunk : sizes.activation_chunk;
            readers_.push_back(std::make_unique<Reader>(clock, most, *dispatch->sources[source], read_port(source), words));
        }
        weights_ = std::make_unique<OperandBuffer>(clock, dispatch->weights, readers_[Source::WEIGHTS]->o, waits_free_);
        activations_ =
            std::make_unique<OperandBuffer>(clock, dispatch->activations, readers_[Source::ACTIVATIONS]->o, waits_free_);
        readers_[Source::WEIGHTS]->within = &weights_->within();
        readers_[Source::ACTIVATIONS]->within = &activations_->within();
        loops_ = std::make_unique<TileLoops>(clock, dispatch->product, *weights_, *activations_);
        results_ = std::make_unique<ResultBuffer>(clock, loops_->slots, dispatch->tiles, loops_->room);
        sequencer_ = std::make_unique<Sequencer>(clock, loops_->tiles, loops_->weights, loops_->activations, *results_);
        std::vector<Fifo*> inputs;
        for (Int source = 0; source <= Source::GATE; ++source)
            inputs.push_back(source > Source::ACTIVATIONS ? &readers_[source]->o : nullptr);
        vector_ = std::make_unique<VectorUnit>(clock, dispatch->work, results_->o, inputs);
        for (Int sink = 0; sink <= Sink::BACKWARD; ++sink) {
            WritePort& port = *writes_[sink % sizes.ports];
            writers_.push_back(
                std::make_unique<Writer>(clock, sizes.vpu_lanes, *dispatch->sinks[sink], vector_->sinks[sink], port));
            port.join(*writers_.back());
        }
        for (Int source = 0; source <= Source::GATE; ++source) read_port(source).join(*readers_[source]);
        dispatch->units = {vector_.get(),        loops_.get(),   &loops_->masks,     &loops_->weights,
                           &loops_->activations, weights_.get(), activations_.get(), results_.get()};
        for (auto& port : writes_) dispatch->units.push_back(port.get());
        for (auto& writer : writers_) dispatch->units.push_back(writer.get());
        for (auto& reader : readers_)
            if (reader != readers_[Source::FETCH]) dispatch->units.push_back(reader.get());
        dispatch->sequencer = &loops_->tiles;
        writers_[Sink::RESULTS]->completion.complete = [this] { complete(); };
        fast_forward_ = std::make_unique<FastForward>(clock, *dispatch);
        clock.hurries = !run.skips;  // so that both ways are compared where programs are
        if (run.skips) clock.look = [this] { fast_forward_->look(); };
        fetch(run);
    }

    // Go on to the next results, or so many steps; whether something is left to do.
    bool run(Int cycles) { return clock.run(cycles); }

    Int cycles() const { return clock.skipped + clock.now; }  // so far
    Int done_at() const {
        return dispatch->done_at() < 0 ? -1 : clock.skipped + dispatch->done_at();
    }  // the program's last cycle, or -1
    Int stepped() const { return dispatch->done_at() + 1; }  // of the program's cycles

    Counters counters() const {
        Counters found{};
        for (const auto& port : reads_) found.read_beats += port->beats();
        for (const auto& port : writes_) found.write_beats += port->beats();
        for (const auto& reader : readers_) found.read_waits_memory += reader->waits_memory.total();
        for (const auto& writer : writers_) found.write_waits_memory += writer->waits_memory.total();
        found.array_busy = loops_->busy.total();
        found.array_waits_operands = loops_->waits_operands.total();
        found.array_waits_room = loops_->waits_room.total();
        found.load_waits_free = waits_free_.total();
        found.vector_busy = vector_->busy.total();
        found.vector_waits_operands = vector_->waits_operands.total();
        found.vector_waits_room = vector_->waits_room.total();
        return found;
    }

private:
    Clock clock;
    const std::vector<Int> numbers_;
    const std::vector<Command> commands_;
    const Memory memory_;
    Stored none_{clock};
    Walks program_;
    Walk whole_{};  // the program
    Meter waits_free_;
    std::vector<std::unique_ptr<ReadPort>> reads_;
    std::vector<std::unique_ptr<WritePort>> writes_;
    std::vector<std::unique_ptr<Reader>> readers_;
    std::vector<std::unique_ptr<Writer>> writers_;
    std::unique_ptr<Dispatch> dispatch;
    std::unique_ptr<OperandBuffer> weights_, activations_;
    std::unique_ptr<TileLoops> loops_;
    std::unique_ptr<ResultBuffer> results_;
    std::unique_ptr<Sequencer> sequencer_;
    std::unique_ptr<VectorUnit> vector_;
    std::unique_ptr<FastForward> fast_forward_;

    // The program's words are read one by one.
    void fetch(const Run& run) {
        whole_.base = run.address;
        whole_.size_log2 = 2;
        whole_.run_limit = NO_LIMIT;
        whole_.limit_0 = whole_.limit_1 = NO_LIMIT;
        whole_.boundary = whole_.outer = whole_.middle = whole_.inner = whole_.v_size = whole_.v_tile = 1;
        whole_.u_size = whole_.u_tile = run.words;
        for (Int loop = 0; loop < LOOPS; ++loop) whole_.u[loop].count = whole_.v[loop].count = 1;
        whole_.u[0].count = run.words;
        program_.put({&whole_, 0});
    }

    void complete() {
        dispatch->stored.add();
        Int beats = 0;
        for (const auto& port : reads_) beats += port->beats();
        for (const auto& port : writes_) beats += port->beats();
        const auto so_far = [this](const Meter& meter) { return meter.so_far(clock.now); };
        moments.push_back({clock.skipped + clock.now, so_far(loops_->busy), so_far(loops_->waits_operands),
                           so_far(loops_->waits_room), so_far(vector_->busy), beats, clock.now});
        clock.stops = true;
    }
};

}  // namespace machine
