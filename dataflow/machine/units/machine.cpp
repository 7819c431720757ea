// The machine as a library: what Python calls, see dataflow/machine/native.py.
#include "machine.hpp"

#include <exception>

using machine::Int;
using machine::Machine;

namespace {
thread_local std::string fault;

// What a call gives, or -1 where it fails; `machine_fault` then says why.
template <class Call>
Int guarded(Call call) {
    try {
        return call();
    } catch (const std::exception& error) {
        fault = error.what();
        return -1;
    }
}
}  // namespace

extern "C" {

const char* machine_fault() { return fault.c_str(); }

Int machine_new(const machine::Sizes* sizes, const machine::Run* run, const Int* numbers, Int count, Machine** made) {
    return guarded([&] {
        *made = new Machine(*sizes, *run, numbers, count);
        return 0;
    });
}

void machine_free(Machine* machine) { delete machine; }

// 1 where something is left to do.
Int machine_run(Machine* machine, Int cycles) {
    return guarded([&] { return machine->run(cycles); });
}

Int machine_cycles(const Machine* machine) { return machine->cycles(); }

Int machine_done_at(const Machine* machine) { return machine->done_at(); }

Int machine_stepped(const Machine* machine) { return machine->stepped(); }

void machine_counters(const Machine* machine, machine::Counters* found) { *found = machine->counters(); }

Int machine_moments(const Machine* machine, const machine::Moment** first) {
    *first = machine->moments.data();
    return machine->moments.size();
}

// The last byte of a walk's elements, or -1 where there is none.
Int walk_last_byte(const machine::Sizes* sizes, const machine::Walk* walk) {
    return machine::WalkRows(*sizes, *walk, sizes->vpu_lanes, true).last_byte();
}
}
