#pragma once

#include <stddef.h>
#include <stdint.h>

/* Calls `target` with bytes that libFuzzer makes up, by its command line; -1 where it is not linked. */
int fuzzer_run(int argc, char **argv, int (*target)(const uint8_t *bytes, size_t count));
