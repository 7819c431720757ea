/* Runs programs through nmtrain.h on a simulated accelerator behind a socket; a line for each. Arguments: the socket, the address
 * and the length of the memory, and the length of the program that stands at byte 4096 of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nmtrain.h"

static uint64_t ask(void *context, char kind, uint64_t address, uint64_t number) {
    unsigned char request[17] = {(unsigned char)kind};
    uint64_t answer;
    memcpy(request + 1, &address, 8);
    memcpy(request + 9, &number, 8);
    if (write(*(int *)context, request, 17) != 17 || read(*(int *)context, &answer, 8) != 8) exit(9);
    return answer;
}
static uint32_t read32(void *context, uint32_t offset) { return (uint32_t)ask(context, 'r', offset, 0); }
static void write32(void *context, uint32_t offset, uint32_t value) { ask(context, 'w', offset, value); }
static void pass(void *context) { ask(context, 't', 0, 200); }

int main(int count, char **arguments) {
    struct sockaddr_un place = {AF_UNIX, ""};
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    nmtrain_bus bus = {&connection, read32, write32, pass};
    uint32_t lengths[4], number;
    if (count != 5) return 9;
    strncpy(place.sun_path, arguments[1], sizeof place.sun_path - 1);
    if (connect(connection, (struct sockaddr *)&place, sizeof place)) return 9;
    printf("open %d\n", nmtrain_open(&bus, strtoull(arguments[2], 0, 0), (uint32_t)strtoul(arguments[3], 0, 0)));
    lengths[0] = lengths[3] = (uint32_t)strtoul(arguments[4], 0, 0);
    lengths[1] = lengths[0] - 4; /* without HALT */
    lengths[2] = lengths[0] + 1;
    for (number = 0; number < 4; number++) {
        nmtrain_error error = {0, 0, 0, 0};
        nmtrain_result result = nmtrain_run(&bus, 4096, lengths[number], 1000, &error);
        printf("%d %u %u %u %u\n", (int)result, error.code, error.unit, error.address, error.command);
    }
    return 0;
}
