#include "CNVMeAtomic.h"

#include <xxhash.h>

void nvmeatomic_checksum(const void *bytes, size_t count, uint64_t checksum[2]) {
  XXH128_hash_t hash = XXH3_128bits(bytes, count);
  checksum[0] = hash.low64;
  checksum[1] = hash.high64;
}
