#include "CNVMeAtomic.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/asm-generic/unistd.h of Linux 6.5; bookworm's headers are older. Architectures
 * that number system calls their own way do not have this tool. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct page_range {
  uint64_t offset, length;
};
struct page_counts {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};
_Static_assert(sizeof(struct page_counts) == 40, "struct cachestat has 40 bytes");

_Static_assert((int)FIEMAP_EXTENT_LAST == NVMEATOMIC_EXTENT_LAST, "LAST");
_Static_assert((int)FIEMAP_EXTENT_UNKNOWN == NVMEATOMIC_EXTENT_UNKNOWN, "UNKNOWN");
_Static_assert((int)FIEMAP_EXTENT_DELALLOC == NVMEATOMIC_EXTENT_DELALLOC, "DELALLOC");
_Static_assert((int)FIEMAP_EXTENT_UNWRITTEN == NVMEATOMIC_EXTENT_UNWRITTEN, "UNWRITTEN");
_Static_assert((int)FIEMAP_EXTENT_SHARED == NVMEATOMIC_EXTENT_SHARED, "SHARED");

int nvmeatomic_extents(int descriptor, uint64_t offset, uint64_t length,
                       struct nvmeatomic_extent *extents, uint32_t capacity) {
  union {
    struct fiemap map;
    unsigned char bytes[sizeof(struct fiemap) +
                        NVMEATOMIC_EXTENTS_MAX * sizeof(struct fiemap_extent)];
  } request;
  if (capacity == 0 || capacity > NVMEATOMIC_EXTENTS_MAX) return -EINVAL;
  memset(&request, 0, sizeof request);
  request.map.fm_start = offset;
  request.map.fm_length = length;
  request.map.fm_extent_count = capacity;
  if (ioctl(descriptor, FS_IOC_FIEMAP, &request.map) < 0) return -errno;
  uint32_t count = request.map.fm_mapped_extents;
  if (count > capacity) return -ERANGE;
  for (uint32_t i = 0; i < count; i++) {
    const struct fiemap_extent *extent = &request.map.fm_extents[i];
    extents[i] = (struct nvmeatomic_extent){.logical = extent->fe_logical,
                                            .physical = extent->fe_physical,
                                            .length = extent->fe_length,
                                            .flags = extent->fe_flags};
  }
  return (int)count;
}

int nvmeatomic_unwritten_pages(int descriptor, uint64_t offset, uint64_t length, uint64_t *pages) {
  const struct page_range range = {.offset = offset, .length = length};
  struct page_counts counts = {0};
  if (syscall(SYS_cachestat, descriptor, &range, &counts, 0) < 0) return -errno;
  *pages = counts.dirty + counts.writeback;
  return 0;
}
