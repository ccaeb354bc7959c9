#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How often this thread has asked for memory. */
uint64_t allocation_count(void);
/* Whether anything is counted: a sanitizer brings an allocator of its own. */
bool allocations_are_counted(void);
