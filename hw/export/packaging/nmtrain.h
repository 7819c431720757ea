/* The host's side of the accelerator in C: how a program is started, and what became of it. registers.h has the numbers.
 *
 * The caller has the memory: it puts the image and the program there by its own means, makes them visible to the device, and calls
 * nmtrain_open once and nmtrain_run for each program. */
#ifndef NMTRAIN_H
#define NMTRAIN_H

#include <stdint.h>

#include "registers.h"

typedef struct {
    void *context;
    uint32_t (*read32)(void *context, uint32_t offset);
    void (*write32)(void *context, uint32_t offset, uint32_t value);
    void (*wait)(void *context); /* some time between two looks at the status */
} nmtrain_bus;

typedef enum {
    NMTRAIN_DONE = 0,
    NMTRAIN_STOPPED = 1,     /* with an error, which nmtrain_error tells; the accelerator was reset */
    NMTRAIN_TIMED_OUT = 2,   /* within so many looks; the accelerator was reset */
    NMTRAIN_NO_DEVICE = 3,   /* another identity or version than in registers.h */
    NMTRAIN_STUCK = 4        /* a reset does not end: the memory port waits for an answer */
} nmtrain_result;

typedef struct {
    uint32_t code, unit, address, command; /* NMTRAIN_ERROR_..., NMTRAIN_UNIT_..., see registers.h */
} nmtrain_error;

/* Wait until the status has none of the bits of mask, for so many looks at the most; whether it came to be. */
static inline int nmtrain_until_clear(const nmtrain_bus *bus, uint32_t mask, uint32_t looks) {
    while (bus->read32(bus->context, NMTRAIN_REG_STATUS) & mask) {
        if (looks-- == 0) return 0;
        bus->wait(bus->context);
    }
    return 1;
}

/* Bring all units back; settings and memory stay. */
static inline nmtrain_result nmtrain_reset(const nmtrain_bus *bus) {
    bus->write32(bus->context, NMTRAIN_REG_CONTROL, NMTRAIN_CONTROL_RESET_MASK);
    return nmtrain_until_clear(bus, NMTRAIN_STATUS_RESETTING_MASK, 1000000u) ? NMTRAIN_DONE : NMTRAIN_STUCK;
}

/* Look whether the device is there, and say where its memory is: an address as the device has it, a multiple of 4096. */
static inline nmtrain_result nmtrain_open(const nmtrain_bus *bus, uint64_t memory, uint32_t memory_bytes) {
    if (bus->read32(bus->context, NMTRAIN_REG_IDENTITY) != NMTRAIN_IDENTITY) return NMTRAIN_NO_DEVICE;
    if (bus->read32(bus->context, NMTRAIN_REG_VERSION) != NMTRAIN_VERSION) return NMTRAIN_NO_DEVICE;
    if (!(bus->read32(bus->context, NMTRAIN_REG_STATUS) & NMTRAIN_STATUS_IDLE_MASK)) {
        nmtrain_result result = nmtrain_reset(bus);
        if (result != NMTRAIN_DONE) return result;
    }
    bus->write32(bus->context, NMTRAIN_REG_WINDOW_BASE_LOW, (uint32_t)memory);
    bus->write32(bus->context, NMTRAIN_REG_WINDOW_BASE_HIGH, (uint32_t)(memory >> 32));
    bus->write32(bus->context, NMTRAIN_REG_WINDOW_BYTES, memory_bytes);
    return NMTRAIN_DONE;
}

/* Run the program that stands at a byte of the window to its end. */
static inline nmtrain_result nmtrain_run(const nmtrain_bus *bus, uint32_t address, uint32_t bytes, uint32_t looks,
                                         nmtrain_error *error) {
    uint32_t status;
    nmtrain_result result;
    bus->write32(bus->context, NMTRAIN_REG_PROGRAM_ADDRESS, address);
    bus->write32(bus->context, NMTRAIN_REG_PROGRAM_BYTES, bytes);
    bus->write32(bus->context, NMTRAIN_REG_CONTROL, NMTRAIN_CONTROL_START_MASK);
    if (!nmtrain_until_clear(bus, NMTRAIN_STATUS_RUNNING_MASK, looks)) {
        result = nmtrain_reset(bus);
        return result == NMTRAIN_DONE ? NMTRAIN_TIMED_OUT : result;
    }
    status = bus->read32(bus->context, NMTRAIN_REG_STATUS);
    if (!(status & NMTRAIN_STATUS_ERROR_MASK)) return NMTRAIN_DONE;
    error->code = bus->read32(bus->context, NMTRAIN_REG_ERROR_CODE);
    error->unit = bus->read32(bus->context, NMTRAIN_REG_ERROR_UNIT);
    error->address = bus->read32(bus->context, NMTRAIN_REG_ERROR_ADDRESS);
    error->command = bus->read32(bus->context, NMTRAIN_REG_ERROR_COMMAND);
    result = nmtrain_reset(bus);
    return result == NMTRAIN_DONE ? NMTRAIN_STOPPED : result;
}

#endif
