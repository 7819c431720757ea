// Parts of the machine for tests: rows of a walk; readers and writers behind a port; the array. Results are JSON.
#include <sstream>

#include "array.hpp"
#include "dispatch.hpp"
#include "port.hpp"

using namespace machine;

namespace {
std::string told;

template <class Numbers>
std::string list(const Numbers& numbers) {
    std::ostringstream out;
    for (Int number : numbers) out << (out.tellp() ? "," : "") << number;
    return "[" + out.str() + "]";
}

std::vector<Command> commands_of(const Int* numbers, Int count, std::deque<std::vector<Int>>& kept) {
    kept.emplace_back(numbers, numbers + count);
    return machine::commands_of(kept.back());
}
}  // namespace

extern "C" {

// Kinds of all rows, chunks and requests of each kind, and the landmarks of the first window.
const char* rows_of(const Sizes* sizes, const Walk* walk, Int most, Int ends) {
    WalkRows rows(*sizes, *walk, most, ends);
    std::vector<Int> kinds;
    std::map<Int, std::string> contents;
    rows.kind(0);
    std::vector<Int> landmarks;
    for (Int number = 0; number < std::min(WINDOW, rows.total); ++number)
        if (rows.landmark(number)) landmarks.push_back(number);
    for (Int number = 0; number < rows.total; ++number) {
        kinds.push_back(rows.kind(number));
        std::vector<Int> requests;
        for (const Request& one : rows.content(number).requests) requests.insert(requests.end(), {one.place, one.beats});
        contents[kinds.back()] = "[" + list(rows.content(number).chunks) + "," + list(requests) + "]";
    }
    std::string all;
    for (const auto& [kind, content] : contents) all += (all.empty() ? "" : ",") + content;
    told = "{\"kinds\":" + list(kinds) + ",\"contents\":[" + all + "],\"landmarks\":" + list(landmarks) + "}";
    return told.c_str();
}

// Of questions (start, other, count): whether so many rows are the same.
const char* rows_same(const Sizes* sizes, const Walk* walk, Int most, const Int* questions, Int count) {
    WalkRows rows(*sizes, *walk, most, true);
    std::vector<Int> found;
    for (Int one = 0; one < 3 * count; one += 3)
        found.push_back(rows.same(questions[one], questions[one + 1], questions[one + 2]));
    told = list(found);
    return told.c_str();
}

// How many rows of a walk have other chunks or requests than those that are made for them alone.
Int rows_wrong(const Sizes* sizes, const Walk* walk, Int most, Int ends) {
    struct Made : WalkRows {
        using WalkRows::WalkRows, WalkRows::make, WalkRows::written;
    } rows(*sizes, *walk, most, ends);
    Int wrong = 0;
    for (Int number = 0; number < rows.total; ++number)
        wrong += rows.written(rows.content(number)) != rows.written(rows.make(number));
    return wrong;
}

// Two readers, each in front of a writer, at one port: cycles of all channels, and when walks are complete. `walks` are those
// of both readers, then of both writers, `counts` of each.
const char* copies(const Sizes* sizes, const Memory* memory, const Walk* walks, const Int* counts, Int most) {
    Clock clock(*sizes);
    Stored none(clock);
    ReadPort read_port(clock, *memory);
    WritePort write_port(clock, *memory);
    std::map<std::string, std::vector<Int>> trace{{"ar", {}}, {"aw", {}}, {"r", {}}, {"w", {}}, {"b", {}}};
    read_port.trace = write_port.trace = &trace;
    std::deque<Walks> queues;
    for (int queue = 0; queue < 4; ++queue) queues.emplace_back(clock, 100, none);
    std::deque<Reader> readers;
    std::deque<Writer> writers;
    std::vector<Int> complete[2];
    for (int one = 0; one < 2; ++one) read_port.join(readers.emplace_back(clock, most, queues[one], read_port, true));
    for (int one = 0; one < 2; ++one) {
        write_port.join(writers.emplace_back(clock, most, queues[2 + one], readers[one].o, write_port));
        writers[one].completion.complete = [&clock, done = &complete[one]] { done->push_back(clock.now); };
    }
    for (int queue = 0; queue < 4; ++queue)
        for (Int walk = 0; walk < counts[queue]; ++walk) queues[queue].put({walks++, 0});
    clock.run(1 << 24);
    ++clock.now;
    for (int one = 0; one < 2; ++one)
        if (!readers[one].idle() || !writers[one].idle()) throw std::runtime_error("something is not idle");
    std::string channels;
    for (const auto& [name, cycles] : trace) channels += "\"" + name + "\":" + list(cycles) + ",";
    told = "{" + channels + "\"complete\":[" + list(complete[0]) + "," + list(complete[1]) + "]}";
    return told.c_str();
}

// Products with all that they need always there: the cycles in which words of sums show, and how long it waited for what.
// `streams` are commands of products, passes, loads of weights and of activations, then chunks of both, `counts` numbers of
// each.
const char* sums(const Sizes* sizes, const Int* streams, const Int* counts) {
    Clock clock(*sizes);
    constexpr Int MANY = 1 << 20;
    Words<const Product*> products(clock, MANY);
    Words<const Pass*> passes(clock, MANY);
    Words<const Load*> loads[2] = {{clock, MANY}, {clock, MANY}};
    Words<Int> chunks[2] = {{clock, MANY}, {clock, MANY}};
    Meter waits_free(clock);
    OperandBuffer weights(clock, loads[0], chunks[0], waits_free), activations(clock, loads[1], chunks[1], waits_free);
    TileLoops loops(clock, products, weights, activations);
    ResultBuffer results(clock, loops.slots, passes, loops.room);
    Sequencer sequencer(clock, loops.tiles, loops.weights, loops.activations, results);
    results.o.depth = MANY;  // as if every word were taken when it shows
    std::deque<std::vector<Int>> kept;
    for (int stream = 0; stream < 6; streams += counts[stream++]) {
        if (stream >= 4) {
            for (Int chunk = 0; chunk < counts[stream]; ++chunk) chunks[stream - 4].put(streams[chunk]);
            continue;
        }
        for (const Command& command : commands_of(streams, counts[stream], kept)) {
            if (stream == 0) products.put(&command.as<Product>());
            if (stream == 1) passes.put(&command.as<Pass>());
            if (stream >= 2) loads[stream - 2].put(&command.as<Load>());
        }
    }
    clock.run(1 << 24);
    ++clock.now;
    const std::vector<Int> cycles = results.o.times();
    while (results.o.valid()) results.o.take();
    ++clock.now;
    for (const Unit* unit :
         std::initializer_list<const Unit*>{&weights, &activations, &loops, &loops.weights, &loops.activations, &results})
        if (!unit->idle()) throw std::runtime_error("something is not idle");
    told = "{\"cycles\":" + list(cycles) + ",\"waits_operands\":" + std::to_string(loops.waits_operands.total()) +
           ",\"waits_room\":" + std::to_string(loops.waits_room.total()) + "}";
    return told.c_str();
}
}
